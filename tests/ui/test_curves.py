"""The Curves tab in a real browser: ticks, table and plot. The page and its runs are shared."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.report.styles import colour_of
from resnet_cifar.runs.notes import Notes, write_notes
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import checkpoint, recipe, staged_recipe, told
from tests.ui.conftest import without_errors

PLOT = "document.querySelector('#curves .plot')"
SHOWN = f"[...new Set(({PLOT}?.data ?? []).filter(line => line.meta).map(line => line.meta.split('/')[0]))].sort()"
LONG = "a-run-with-a-name-as-long-as-names-may-be-which-is-64-characters"
MANY = [f"try-{number}" for number in range(6)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten runs: of two recipes that differ in most, and of one that differs in its seed alone."""
    folder = tmp_path_factory.mktemp("runs")
    told(folder / SHIPPED, recipe())
    told(folder / "plain", recipe(), steps=40)
    checkpoint(folder / "plain")
    for number, name in enumerate(MANY):
        told(folder / name, recipe(seed=number))
    told(folder / LONG, staged_recipe())
    told(folder / "staged", staged_recipe())
    write_notes(folder / "staged", Notes(tags=("good",), colour=7))
    return folder


@pytest.fixture
def page(request: pytest.FixtureRequest, browser, address: str) -> Iterator:
    with without_errors(browser, address + "#curves", getattr(request, "param", 1280)) as page:
        page.locator("#runs tbody tr").first.wait_for()
        yield page


def show(page, *names: str) -> None:
    """Tick these runs and no others."""
    ticked = page.locator("#runs tbody tr:has(input:checked)")
    for name in ticked.evaluate_all("rows => rows.map(row => row.dataset.run)"):
        page.get_by_label(f"show {name}", exact=True).uncheck()
    for name in names:
        page.get_by_label(f"show {name}", exact=True).check()
    page.wait_for_function(f"JSON.stringify({SHOWN}) === JSON.stringify({sorted(names)})")


def test_no_tick_is_lost_however_quickly_runs_are_ticked(page):
    """Rounds of six ticks, faster than the server answers, and what is to be seen after the last answer: about 8 s."""
    show(page, "plain")
    for pause in (30, 150):
        for wanted in (True, False):
            for name in MANY:
                page.evaluate(f"""document.querySelector('[aria-label="show {name}"]').click()""")
                page.wait_for_timeout(pause)
            expected = sorted(["plain", *(MANY if wanted else [])])
            page.wait_for_timeout(1_200)  # late answers arrive, and a tick of the timer
            page.wait_for_function(f"JSON.stringify({SHOWN}) === '{json.dumps(expected, separators=(',', ':'))}'")
            rows = page.locator("#runs tbody tr:has(input:checked)")
            assert sorted(rows.evaluate_all("rows => rows.map(row => row.dataset.run)")) == expected


@pytest.mark.parametrize("page", [768, 1280], indirect=True)
def test_rename_and_delete_are_seen_and_a_question_is_seen_whole(page):
    row = page.locator(f"#runs tr[data-run={LONG}]")
    card = page.locator("#runs .card").bounding_box()
    for button in row.get_by_role("button").all():
        box = button.bounding_box()
        assert card["x"] <= box["x"] and box["x"] + box["width"] <= card["x"] + card["width"]
    row.get_by_label(f"delete {LONG} …").click()
    yes = page.get_by_role("button", name="Yes, delete")
    question = page.get_by_text(f"Delete {LONG}?")
    for part in (yes, question):
        box = part.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900
        assert part.evaluate(
            "node => { const {x, y, width, height} = node.getBoundingClientRect();"
            "return node.contains(document.elementFromPoint(x + width / 2, y + height / 2)); }"
        )
    page.keyboard.press("Escape")
    assert not yes.is_visible()


def test_a_run_is_renamed_and_deleted_and_stays_ticked_meanwhile(page, runs: Path):
    told(runs / "doomed", recipe())
    page.get_by_label("show doomed", exact=True).wait_for()
    show(page, "doomed", "plain")
    page.get_by_label("rename doomed …").click()
    page.get_by_label("new name of doomed").fill("no good/name")
    page.keyboard.press("Enter")
    page.get_by_text("is not a valid name for a run").wait_for()
    page.get_by_label("rename doomed …").click()
    page.get_by_label("new name of doomed").fill("better")
    page.get_by_role("button", name="Rename", exact=True).last.click()
    page.wait_for_function(f'JSON.stringify({SHOWN}) === \'["better","plain"]\'')
    assert (runs / "better" / "metrics.jsonl").exists() and page.get_by_label("show better").is_checked()

    page.get_by_label("delete better …").click()
    page.get_by_role("button", name="Cancel").click()
    assert (runs / "better").exists()
    page.get_by_label("delete better …").click()
    page.get_by_role("button", name="Yes, delete").click()
    page.get_by_label("show better").wait_for(state="detached")
    assert not (runs / "better").exists() and (runs / "plain").exists()
    page.wait_for_function(f"JSON.stringify({SHOWN}) === '[\"plain\"]'")


def test_no_click_is_lost_while_a_run_is_at_work(page, runs: Path):
    """Whatever is drawn again between press and release would lose the click."""
    record = told(runs / "growing", recipe())
    page.get_by_label("show growing", exact=True).wait_for()
    show(page, "growing")
    points = f"{PLOT}.calcdata.flat().length"
    entry = page.locator("#curves .legend").get_by_role("button", name="val", exact=True)
    for pressed in (entry, entry, page.get_by_label("delete growing …")):
        shown = entry.get_attribute("aria-pressed")
        pressed.hover()
        page.mouse.down()
        before = page.evaluate(points)
        record.run.append(record.events.epochs[-1])
        page.wait_for_function(f"{points} > {before}")  # the table is in the same answer
        page.mouse.up()
        assert pressed is not entry or entry.get_attribute("aria-pressed") != shown
    page.get_by_role("button", name="Yes, delete").click()
    page.get_by_label("show growing").wait_for(state="detached")


def test_the_table_filters_sorts_and_has_the_columns_that_differ(page):
    names = page.locator("#runs td[data-column=name] .name")
    best = page.locator("#runs td[data-column=best]")
    head = page.get_by_role("button", name="Best val")
    head.click()
    down = best.all_inner_texts()
    assert down == sorted(down, key=lambda text: -float(text.split()[0])) and len(set(down)) > 1
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Best val")
    head.press("Enter")  # by keyboard too
    assert best.all_inner_texts() == down[::-1]
    everyone = names.all_inner_texts()
    columns = page.locator("#runs thead th button")
    assert {"Seed", "Learning rate", "Augmentation"} <= set(columns.all_inner_texts())
    assert not {"Batch size", "Architecture", "Data"} & set(columns.all_inner_texts())  # they agree
    find = page.get_by_label("Filter runs by")
    find.fill("TRY")
    assert sorted(names.all_inner_texts()) == MANY and "6 match" in page.locator("#runs .count").inner_text()
    assert "Seed" in columns.all_inner_texts() and "Learning rate" not in columns.all_inner_texts()
    page.get_by_role("button", name="Seed").click()
    assert names.all_inner_texts() == MANY[::-1]
    page.get_by_label("show the first 6").click()  # its label changes with it
    page.wait_for_function(f"{SHOWN}.length === 6")
    page.get_by_label("show none").click()
    page.get_by_text("No run selected").wait_for()
    for text, found in (("good", ["staged"]), ("good try", []), ("interrupted", everyone)):  # a tag, no run, a status
        find.fill(text)
        assert sorted(names.all_inner_texts()) == sorted(found)
    find.fill("")
    row = page.locator(f"#runs tr[data-run={SHIPPED}]")
    assert row.count() == 1 and row.get_by_label(" …").count() == 0


def test_one_change_and_nothing_else_is_one_line(page):
    show(page, MANY[0], MANY[3])
    lines = page.locator(".differences tbody tr")
    page.wait_for_function("document.querySelectorAll('.differences tbody tr').length === 1")
    assert lines.inner_text().split() == ["Seed", "0", "3"]
    assert page.locator(".differences thead th").all_inner_texts() == ["Field", MANY[0], MANY[3]]
    show(page, MANY[0])
    lines.first.wait_for(state="detached")


def test_a_colour_belongs_to_a_run_everywhere(page, runs: Path):
    colours = {name: colour_of(RunDir(runs / name)) for name in ("staged", "plain")}
    for shown in (["staged"], ["plain", "staged"]):
        show(page, *shown)
        for name in shown:
            assert (
                page.evaluate(f"{PLOT}.data.find(line => line.meta?.startsWith('{name}/')).line.color") == colours[name]
            )
            box = page.get_by_label(f"show {name}", exact=True)
            assert box.evaluate("box => box.style.getPropertyValue('--run')") == colours[name]
            entry = page.locator("#curves .legend .run", has_text=name)
            assert entry.evaluate("entry => entry.style.getPropertyValue('--run')") == colours[name]


def test_curves_are_saved_as_image_and_as_numbers(page):
    show(page, "staged")
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


def test_axes_smoothing_and_the_legend(page):
    show(page, "plain")
    page.wait_for_function(f"{PLOT}.calcdata[0].length === 80")
    for axis, points in (("Epoch", 2), ("Time", 80), ("Step", 80)):
        page.locator("#view").get_by_text(axis).click()
        title = "seconds" if axis == "Time" else axis.lower()
        page.wait_for_function(f"{PLOT}.layout.xaxis.title.text === '{title}'")
        assert page.evaluate(f"{PLOT}.calcdata[0].length") == points
    page.get_by_label("Log loss").check()
    page.wait_for_function(f"{PLOT}.layout.yaxis.type === 'log'")
    page.get_by_label("Smoothing").fill("0.9")
    page.wait_for_function(f"{PLOT}.data.some(line => line.meta?.endsWith('raw'))")
    kind = page.locator("#curves .legend").get_by_role("button", name="val", exact=True)
    kind.click()
    drawn = f"({PLOT}?.data ?? []).filter(line => line.meta?.includes('/val/') && line.visible !== 'legendonly').length"
    assert page.evaluate(drawn) == 0 and kind.get_attribute("aria-pressed") == "false"
    page.locator("#view").get_by_text("Epoch").click()
    page.wait_for_function(f"{PLOT}.layout.xaxis.title.text === 'epoch'")
    assert page.evaluate(drawn) == 0  # as long as one doesn't show it again
    kind.click()
    assert page.evaluate(drawn) == 2


def test_values_are_read_within_their_own_panel_and_with_their_unit(page):
    show(page, "plain", "staged")
    texts = {"xy": "val loss", "x2y2": "val top-1", "x3y3": "learning rate 0.1", "x4y4": "images/s"}
    reading = page.locator("#curves .reading")
    page.evaluate("scrollTo(0, 0)")
    for panel, text in texts.items():
        box = page.locator(f"#curves .draglayer .{panel} .nsewdrag").bounding_box()
        for part in (0.05, 0.95):
            page.mouse.move(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
            page.wait_for_function(f"document.querySelector('#curves .reading').textContent.includes('{text}')")
            label = reading.bounding_box()
            assert box["x"] <= label["x"] and label["x"] + label["width"] <= box["x"] + box["width"] + 1
        assert ("%" in reading.inner_text()) is (panel == "x2y2")
    page.mouse.move(5, 5)
    reading.wait_for(state="hidden")


@pytest.mark.parametrize("page", [390], indirect=True)
def test_the_table_is_above_the_chart_on_a_phone(page):
    show(page, "plain")
    assert page.locator("#runs").bounding_box()["y"] < page.locator("#curves").bounding_box()["y"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
