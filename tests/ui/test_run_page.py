"""The page of a run on the Curves tab, in a real browser: what it shows, the way back, notes, tags and colour."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.runs.notes import Notes, read_notes, write_notes
from tests.builders import recipe, staged_recipe, told
from tests.ui.conftest import without_errors
from tests.ui.test_curves import SHOWN, show

NOTES = Notes(text="a <script>alert(1)</script> note", tags=("<i>odd</i>", "good"), colour=7)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name in ("plain", SHIPPED):
        told(folder / name, recipe())
    told(folder / "staged", staged_recipe(about="<b>about</b> & more"))
    write_notes(folder / "staged", NOTES)
    return folder


@pytest.fixture
def page(browser, address: str) -> Iterator:
    with without_errors(browser, address + "#curves") as page:
        page.locator("#runs tbody tr").first.wait_for()
        yield page


def test_a_run_has_a_page_with_a_way_back(page, address: str):
    show(page, "plain")
    page.get_by_role("button", name="open staged").press("Enter")
    title = page.get_by_role("heading", name="staged")
    title.wait_for()
    # the keyboard goes on from the title, which shows no focus: nothing can be done with it
    assert title.evaluate("node => node === document.activeElement && getComputedStyle(node).outlineStyle === 'none'")
    content = page.locator("#run-page")
    content.get_by_text("Results by stage").wait_for()
    page.wait_for_function(f"JSON.stringify({SHOWN}) === '[\"staged\"]'")  # its curves alone
    assert page.url.endswith("#curves/staged") and not page.locator("#runs .card").is_visible()
    text = content.inner_text()
    for part in (
        "<b>about</b> & more",
        "Architecture",
        "tiny",
        "bf16",
        "recipe.json",
        "kB",
        "everything",
        "layer4, fc",
    ):
        assert part in text
    page.go_back()
    page.locator("#runs .card").wait_for()
    page.wait_for_function(f"JSON.stringify({SHOWN}) === '[\"plain\"]'")
    page.goto(address)
    page.goto(address + "#curves/staged")
    page.reload()
    content.get_by_text("Results by stage").wait_for()  # linked to
    page.get_by_role("button", name="All runs").click()
    page.locator("#runs .card").wait_for()
    assert page.url.endswith("#curves")


def test_notes_tags_and_colour_are_edited(page, runs: Path):
    page.get_by_role("button", name="open staged").click()
    notes = page.get_by_label("Notes", exact=True)
    notes.wait_for()
    assert notes.input_value() == "a <script>alert(1)</script> note"
    assert page.get_by_label("Tags").input_value() == "<i>odd</i>, good"
    notes.fill("it is better")
    page.get_by_label("Tags").fill("one, two , one,")
    page.get_by_label("colour 3").check()
    page.wait_for_timeout(1_500)  # what is typed survives a tick
    assert notes.input_value() == "it is better"
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved", exact=True).wait_for()
    assert read_notes(runs / "staged") == Notes(text="it is better", tags=("one", "two"), colour=2)
    page.get_by_label("Tags").fill("x" * 41)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("is not a valid tag").wait_for()
    page.get_by_role("button", name="All runs").click()
    page.locator("#runs .tags", has_text="two").wait_for()
    write_notes(runs / "staged", NOTES)


def test_the_page_of_the_model_that_ships_has_no_notes_and_uses_their_place(page):
    widths = {}
    for name in ("staged", SHIPPED):
        page.get_by_role("button", name=f"open {name}", exact=True).click()
        page.get_by_role("heading", name=name, exact=True).wait_for()
        page.locator("#notes form").wait_for(state="hidden" if name == SHIPPED else "visible")
        widths[name] = page.locator("#run-page").bounding_box()["width"]
        page.get_by_role("button", name="All runs").click()
    assert widths[SHIPPED] == page.locator("#curves").bounding_box()["width"] > widths["staged"]
