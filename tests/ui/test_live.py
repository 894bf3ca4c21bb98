"""A trainer's day on the Train tab, in a real browser: Start in sight, the run's card, the queue, next steps."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from resnet_cifar.events import Metrics, RunCompleted, RunStopped
from resnet_cifar.runs import locks
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import identity
from resnet_cifar.training.trial import Trial
from resnet_cifar.ui.page import serve
from tests.builders import CPU, checkpoint, recipe, told, wait
from tests.ui.accessibility import serious
from tests.ui.conftest import free_port

PLOT = "document.querySelector('#live-chart .plot')"
NOTIFICATIONS = """
window.asked = 0; window.told = [];
window.Notification = class { constructor(title) { window.told.push(title); } };
Notification.permission = "default";
Notification.requestPermission = () => { window.asked++; Notification.permission = "granted"; };
"""


@pytest.fixture
def open_page(browser, tmp_path: Path) -> Iterator[Callable]:
    """Serve a folder, and open its Train tab in a window."""
    app, pages = serve(tmp_path, "127.0.0.1", free_port(), wait=False), []

    def open_page(width: int = 1280, height: int = 900, tab: str = "#train"):
        page = browser.new_page(viewport={"width": width, "height": height})
        page.add_init_script(NOTIFICATIONS)
        pages.append(page)
        page.goto(app.local_url + tab)
        return page

    yield open_page
    for page in pages:
        page.close()
    app.close()


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[tuple[RunDir, Callable[[], None]]]:
    """A run that uses the device, as far as others can see, and a function that ends it."""
    run = told(tmp_path / "first", recipe(), steps=40).run
    with ExitStack() as stack:
        stack.enter_context(locks.locked(locks.device_file(identity(CPU)), "first"))
        stack.enter_context(run.locked(os.getpid()))

        def end() -> None:
            checkpoint(run.path)
            run.append(RunCompleted(test=Metrics(loss=1.0, top1=0.5, top5=0.9), coarse_top1=None, seconds=60.0))
            stack.close()

        yield run, end
        for file in tmp_path.glob("*/queued.json"):  # of a test that failed
            file.unlink()


def in_sight(page, selector: str) -> bool:
    return page.evaluate(
        """selector => {
          const box = document.querySelector(selector).getBoundingClientRect();
          return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight;
        }""",
        selector,
    )


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_start_is_in_sight_wherever_one_has_scrolled_to(open_page: Callable, width: int, height: int):
    page = open_page(width, height)
    page.locator("#start").wait_for()
    assert page.evaluate("document.querySelector('#form').offsetTop < document.querySelector('#watch').offsetTop")
    for _ in range(2):
        assert in_sight(page, "#start")
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(200)
    assert page.title() == "resnet_cifar" and not page.evaluate("window.asked")


def test_a_run_at_work_stands_above_the_form_and_its_end_is_told(open_page: Callable, at_work):
    """One page through the whole of it: about 10 s."""
    run, end = at_work
    page = open_page(tab="")
    page.wait_for_timeout(3_000)  # its tab is opened late, when the timer has updated what is not mounted yet
    page.wait_for_function("document.title.endsWith(' % · first · resnet_cifar')")  # on every tab
    page.get_by_role("tab", name="Train").click()
    page.wait_for_function(f"{PLOT}?.calcdata?.[0]?.length > 2")
    names = page.evaluate(f"[...new Set({PLOT}.data.map(line => line.name))]")
    assert {"train", "val"} <= set(names) and page.evaluate(f"Object.keys({PLOT}.layout).includes('yaxis2')")
    assert not page.evaluate(f"Object.keys({PLOT}.layout).includes('yaxis3')")
    assert page.evaluate("document.querySelector('#watch').offsetTop < document.querySelector('#form').offsetTop")
    assert page.title().endswith(" % · first · resnet_cifar")
    assert not page.locator("#start").is_visible() and in_sight(page, "#enqueue") and in_sight(page, "#stop")

    page.mouse.wheel(0, 3_000)
    page.wait_for_timeout(300)
    assert not in_sight(page, ".live h2")
    page.click("#enqueue")
    wait(lambda: (run.path.parent / "quick-1" / "queued.json").exists())
    assert page.evaluate("window.asked") == 1  # not before
    page.get_by_label("remove quick-1 from the queue").wait_for()
    wait(lambda: in_sight(page, ".live h2"))
    assert not serious(page)
    page.get_by_label("remove quick-1 from the queue").hover()
    page.mouse.down()
    page.evaluate("document.querySelector('.live.card').outerHTML += ''")  # as every second while a run is at work
    page.mouse.up()
    wait(lambda: RunDir(run.path.parent / "quick-1").status() == "stopped")

    end()
    page.locator("#start").wait_for()
    page.get_by_role("button", name="Try it").wait_for()
    assert page.title() == "resnet_cifar" and page.evaluate("window.told") == ["first: completed"]
    page.get_by_role("button", name="Inspect it").click()
    page.wait_for_function("document.querySelector('.inspect-tab select')?.value === 'first'")
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("button", name="See its curves").click()
    page.wait_for_function("document.querySelector('#curves .plot')?.data?.[0]?.meta.startsWith('first/')")
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("button", name="Try it").click()
    page.wait_for_function("[...document.querySelectorAll('input')].some(i => i.value === 'first' && i.offsetParent)")
    assert page.get_by_role("tab", name="Classify").get_attribute("aria-selected") == "true"


def test_the_end_of_a_run_is_told_while_the_page_is_hidden(open_page: Callable, at_work):
    """Gradio's timers stop then."""
    _, end = at_work
    page = open_page()
    page.clock.install()
    page.wait_for_function("document.title.includes('first')")
    page.evaluate("Notification.permission = 'granted'")
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    page.evaluate("Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' })")
    end()
    page.clock.run_for(11_000)
    page.wait_for_function("window.told.length")
    assert page.title() == "resnet_cifar"


def test_a_stopped_run_stays_above_the_form_and_can_be_resumed_or_queued(open_page: Callable, tmp_path: Path):
    run = told(tmp_path / "first", recipe()).run
    run.append(RunStopped(by="SIGTERM"))
    page = open_page()
    page.locator("#resume").wait_for()
    assert page.evaluate("document.querySelector('#watch').offsetTop < document.querySelector('#form').offsetTop")
    with locks.locked(locks.device_file(identity(CPU)), "another"):
        page.get_by_role("button", name="Resume when the device is free").click()
        page.get_by_role("button", name="Remove from the queue").click()
        wait(lambda: run.status() == "stopped")


def test_a_run_of_more_than_a_day_is_started_only_when_asked_twice(
    open_page: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("resnet_cifar.training.estimate.try_out", lambda *_: Trial(1e6, 2**30))
    monkeypatch.setattr("resnet_cifar.ui.train.price.busy_cores", lambda: 2.0)
    page = open_page()
    page.locator("#price b.very.long").wait_for()
    page.get_by_text("cores are in use by other programs").wait_for()
    page.click("#start")
    page.get_by_text("Start anyway?").wait_for()
    assert "days here" in page.inner_text("#question") and not list(tmp_path.iterdir())
    assert not serious(page)
    page.get_by_role("button", name="Cancel").click()
    page.locator("#question").wait_for(state="hidden")
    assert not list(tmp_path.iterdir())
    with locks.locked(locks.device_file(identity(CPU)), "another"):  # so that it is queued, and trains nothing here
        page.locator("#start:visible, #enqueue:visible").click()  # at any moment, the one takes the other's place
        page.get_by_text("Start anyway?").wait_for()
        asked = page.inner_text("#question .ask")
        page.get_by_label("Epochs of stage 1").fill("90")
        page.click("#anyway")  # a Yes to another question
        page.wait_for_function(
            "asked => (document.querySelector('#question .ask')?.innerText ?? asked) !== asked", arg=asked
        )
        assert not list(tmp_path.iterdir())
        page.click("#anyway")
        wait(lambda: (tmp_path / "quick-1" / "queued.json").exists())
        (tmp_path / "quick-1" / "queued.json").unlink()
