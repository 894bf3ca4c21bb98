"""The Train and Curves tabs in a real browser, over a folder of runs. No request goes to another host."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cifar.ui.page import serve
from tests.builders import checkpoint, recipe, staged_recipe, told
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
    elsewhere: list[str] = []
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Error executing" in said.text else None)

    def only_here(route) -> None:
        here = route.request.url.startswith(app.local_url)
        if not here:
            elsewhere.append(route.request.url)
        (route.continue_ if here else route.abort)()

    page.route("http*://**", only_here)
    page.goto(app.local_url)
    yield page
    assert not elsewhere and not errors
    page.close()
    app.close()


def serious(page) -> list[tuple[str, str]]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page).response["violations"]
    return [(v["id"], v["nodes"][0]["html"][:160]) for v in found if v["impact"] in ("serious", "critical")]


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
        page.locator(".strip").nth(2).wait_for(timeout=20_000)
        page.get_by_label("Epochs of stage 1").fill("none")
        page.wait_for_selector("[aria-invalid=true]")
    else:
        page.wait_for_function(f"{PLOT}?.data?.length")
        page.get_by_label("delete staged …").click()
    assert not serious(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out


def test_tables_are_whole_if_their_tabs_are_opened_late(page):
    """By then the timer has updated the tables, which Gradio has not mounted yet."""
    page.wait_for_timeout(4_500)
    page.get_by_role("tab", name="Train").click()
    page.get_by_label("Epochs of stage 1").wait_for(timeout=5_000)
    page.get_by_role("tab", name="Curves").click()
    page.get_by_label("delete staged …").wait_for(timeout=5_000)


def test_runs_are_shown_together_and_hidden_again(page):
    page.get_by_role("tab", name="Curves").click()
    page.wait_for_function(f"{PLOT}?.data?.length")
    for name in ("staged", "plain"):  # at once: the second does not wait for the answer to the first
        box = f"[aria-label='show {name}']"
        page.evaluate(f'(box => box.checked || box.click())(document.querySelector("{box}"))')
    page.wait_for_function(f"new Set({PLOT}.data.map(line => line.legendgroup)).size === 2 && {PLOT}.data.length > 12")
    names = page.evaluate(f"[...new Set({PLOT}.data.map(line => line.legendgroup))].sort()")
    assert names == ["plain", "staged"]
    page.get_by_label("show plain alone").click()
    page.wait_for_function(f"{PLOT}.layout.shapes.some(shape => shape.label?.text === 'everything')")
    assert page.evaluate(f"{PLOT}.data.every(line => line.meta.startsWith('plain/'))")
    page.get_by_label("show plain", exact=True).set_checked(False)
    page.get_by_text("No run selected").wait_for()
    page.reload()
    page.wait_for_function(f"{PLOT}?.data?.length")


def test_the_table_sorts(page):
    page.get_by_role("tab", name="Curves").click()
    names = page.locator("#runs td[data-label=Run]")
    names.first.wait_for()
    head = page.get_by_role("button", name="Best val")
    head.click()
    down = names.all_inner_texts()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Best val")
    head.press("Enter")  # by keyboard too
    assert names.all_inner_texts() == down[::-1]
    assert set(down) == {"plain", "staged"}


def test_a_run_is_renamed_and_deleted_from_the_table(page, runs: Path):
    page.get_by_role("tab", name="Curves").click()
    page.get_by_label("rename staged …").click()
    page.get_by_label("new name of staged").fill("no good/name")
    page.get_by_label("new name of staged").press("Enter")
    page.get_by_text("is not a valid name for a run").wait_for()
    page.get_by_label("rename staged …").click()
    page.get_by_label("new name of staged").fill("better")
    page.get_by_role("button", name="rename staged", exact=True).click()
    page.get_by_label("show better alone").wait_for()
    assert (runs / "better" / "metrics.jsonl").exists()

    page.get_by_label("delete better …").click()
    page.get_by_role("button", name="cancel").click()
    page.get_by_label("delete better …").click()
    page.get_by_label("delete better", exact=True).click()
    assert (runs / "better").exists()  # asked once
    page.get_by_label("really delete better").click()
    page.get_by_label("show better alone").wait_for(state="detached")
    assert not (runs / "better").exists() and (runs / "plain").exists()


def test_curves_are_saved_as_image_and_as_numbers(page, runs: Path):
    page.get_by_role("tab", name="Curves").click()
    page.get_by_label("show staged alone").click()
    page.wait_for_function(f"{PLOT}?.data?.[0]?.meta.startsWith('staged')")
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.clock.install()
    page.evaluate("URL.revokeObjectURL = url => { if (url) (window.revoked ??= []).push(url); }")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert {row["run"] for row in rows} == {"staged"} and len(rows) == 5 * 4 + 5
    assert not page.evaluate("window.revoked")  # the browser may still be reading it
    page.clock.run_for(61_000)
    assert len(page.evaluate("window.revoked")) == 1


def test_values_by_step_or_epoch_and_smoothed(page):
    page.get_by_role("tab", name="Curves").click()
    page.get_by_label("show plain alone").click()
    page.wait_for_function(f"{PLOT}?.calcdata?.[0]?.length === 80")
    page.get_by_label("epoch", exact=True).check()
    page.wait_for_function(f"{PLOT}.calcdata[0].length === 2")
    page.get_by_label("step", exact=True).check()
    page.wait_for_function(f"{PLOT}.calcdata[0].length === 80")
    page.get_by_label("Smoothing").first.fill("0.9")
    page.wait_for_function(f"{PLOT}.data.some(line => line.meta.endsWith('raw'))")
