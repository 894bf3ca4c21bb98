"""An answer that is overtaken by a later one does not stay on the page, in a real browser."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resnet_cifar.events import RunFailed
from resnet_cifar.runs import locks
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import identity
from tests.builders import CPU, recipe, told, wait


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs; `latest` was active last."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("earlier", "latest"):
        told(root / name, recipe())
    return root


@pytest.fixture
def page(browser, address: str) -> Iterator:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address + "#train")
    yield page
    page.close()


class Held:
    """Holds the first answer of the page's timer that `wanted` is true of, until it is released."""

    def __init__(self, page, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self.answer: tuple | None = None
        page.route("**/run/predict", self._pass_on)

    def _pass_on(self, route) -> None:
        response = route.fetch()
        by_timer = len(json.loads(route.request.post_data)["data"]) > 6  # it asks for all parts of the page at once
        if self.answer is None and by_timer and self._wanted(response.text()):
            self.answer = route, response
        else:
            route.fulfill(response=response)

    def release(self) -> None:
        route, response = self.answer
        route.fulfill(response=response)


def test_the_line_below_the_form_is_that_of_the_form(page):
    pending = page.get_by_text("Estimate of time and memory: available when")
    with locks.locked(locks.device_file(identity(CPU)), "a run"):  # so that the estimate stays pending
        held = Held(page, lambda answer: "available when the current run has ended" in answer)
        wait(lambda: held.answer or page.wait_for_timeout(50))
        page.get_by_label("your own images", exact=True).check()
        page.get_by_text("Your own images come first").wait_for()
        held.release()
        pending.wait_for()
        page.get_by_text("Your own images come first").wait_for()  # the next tick has brought it back


def test_the_card_is_that_of_the_chosen_run(page, runs: Path):
    page.locator(".live h2", has_text="latest").wait_for()
    held = Held(page, lambda answer: "no room" in answer)
    RunDir(runs / "latest").append(RunFailed(reason="no room", user_error=True))
    wait(lambda: held.answer or page.wait_for_timeout(50))
    page.get_by_label("Run", exact=True).click()
    page.get_by_role("option", name="earlier").click()
    page.locator(".live h2", has_text="earlier").wait_for()
    held.release()
    page.locator(".live h2", has_text="latest").wait_for()
    page.locator(".live h2", has_text="earlier").wait_for()
