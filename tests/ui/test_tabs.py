"""The Train and Curves tabs in a real browser, over a folder of runs. No request goes to another host."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cifar.ui.page import serve
from tests.builders import checkpoint, recipe, staged_recipe, told
from tests.ui.accessibility import serious
from tests.ui.chromium import requests_elsewhere
from tests.ui.conftest import free_port

PLOT = "document.querySelector('#curves .plot')"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    told(tmp_path / "staged", staged_recipe())
    told(tmp_path / "plain", recipe(), steps=40)
    checkpoint(tmp_path / "plain")
    return tmp_path


@pytest.fixture
def page(request: pytest.FixtureRequest, browser, runs: Path) -> Iterator:
    width, height, scheme = getattr(request, "param", (1280, 900, "light"))
    app = serve(runs, "127.0.0.1", free_port(), wait=False)
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Error executing" in said.text else None)
    elsewhere = requests_elsewhere(page, app.local_url)
    page.goto(app.local_url)
    yield page
    assert not elsewhere and not errors
    page.close()
    app.close()


@pytest.mark.parametrize(
    "page", [(1280, 900, "light"), (390, 844, "dark")], ids=["wide-light", "phone-dark"], indirect=True
)
@pytest.mark.parametrize("tab", ["Train", "Curves"])
def test_accessibility(page, tab: str):
    """axe-core, WCAG AA, with everything unfolded: about 5 s."""
    page.get_by_role("tab", name=tab).click()
    page.wait_for_selector("#stages .stage" if tab == "Train" else "#runs tbody tr")
    if tab == "Train":
        for name in ("Log", "advanced settings of stage 1", "advanced settings of the run", "see the data of stage 1"):
            page.get_by_role("button", name=name).click()
        page.get_by_role("button", name="add a change to stage 1").click()
        page.get_by_label("Augmentation of change 1 of stage 1").select_option("strong")
        page.locator(".strip").nth(2).wait_for()
        page.get_by_label("Epochs of stage 1").fill("none")
        page.wait_for_selector("[aria-invalid=true]")
    else:
        page.wait_for_function(f"{PLOT}?.data?.length")
        for name in ("staged", "plain"):
            page.get_by_label(f"show {name}", exact=True).check()
        page.locator(".differences tbody tr").first.wait_for()
        assert not serious(page)
        page.get_by_label("delete staged …").click()
        assert not serious(page)
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="open staged").click()
        page.get_by_label("Notes", exact=True).wait_for()
    assert not serious(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out


def test_tables_are_whole_if_their_tabs_are_opened_late(page):
    """By then the timer has updated the tables, which Gradio has not mounted yet."""
    page.wait_for_timeout(4_500)
    page.get_by_role("tab", name="Train").click()
    page.get_by_label("Epochs of stage 1").wait_for()
    page.get_by_role("tab", name="Curves").click()
    page.get_by_label("delete staged …").wait_for()
