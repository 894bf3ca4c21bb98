"""The Classify tab in a real browser. No request goes to another host."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cifar.recipe.classes import FINE
from tests.awkward import halves, saved
from tests.ui.chromium import requests_elsewhere
from tests.ui.conftest import on_both_screens, screen

COPY = """async ({ image, text }) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 48, height: 64 });
  const png = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const item = { "image/png": png };
  if (text) item["text/plain"] = new Blob([text], { type: "text/plain" });
  await navigator.clipboard.write([new ClipboardItem(item)]);
}"""
"""Copies an image, and text if there is any."""


@pytest.fixture
def page(request: pytest.FixtureRequest, browser, url: str) -> Iterator:
    page = browser.new_page(**screen(request))
    elsewhere = requests_elsewhere(page, url)
    page.goto(url)
    page.wait_for_selector(".zone .invite")
    yield page
    assert not elsewhere
    page.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "halves.png").write_bytes(saved(halves(), "PNG"))
    return tmp_path / "halves.png"


def drop(page, file: Path) -> None:
    page.set_input_files("input[type=file] >> nth=0", file)


@on_both_screens
def test_a_dropped_image_is_classified_and_removed(page, image: Path):
    """Opens a page in Chromium: a few seconds."""
    assert not page.locator(".answer").count()
    drop(page, image)
    page.wait_for_selector(".answer .what")
    assert page.inner_text(".answer .what").replace(" ", "_") in FINE
    assert page.locator(".answer li").count() == 5
    assert page.evaluate("document.querySelector('.answer img').naturalWidth") == 64
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out
    top = page.locator(".answer").bounding_box()["y"]
    assert top < page.viewport_size["height"]  # in view without scrolling
    assert (
        page.evaluate("document.querySelector('.answer').compareDocumentPosition(document.querySelector('.models'))")
        & 4
    )
    page.get_by_role("button", name="Remove").click()
    page.wait_for_selector(".zone .invite")
    assert not page.locator(".answer").count()


def test_another_model_classifies_the_image_again(page, image: Path):
    drop(page, image)
    page.locator(".answer", has_text="Answered by second").wait_for()
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="first").click()
    page.locator(".answer", has_text="Answered by first").wait_for()


def test_two_models_answer_side_by_side(page, image: Path):
    """Off until asked for; the second model's faults are its own."""
    drop(page, image)
    page.wait_for_selector(".answer .what")
    page.get_by_role("button", name="Compare with a second model").click()
    page.locator(".answers.two .answer", has_text="Answered by first").wait_for()
    assert "Answered by second" in page.inner_text(".answers.two .answer >> nth=0")
    page.get_by_label("Second model").fill("third")
    page.get_by_label("Second model").press("Enter")
    page.locator(".model-note", has_text="there is no model 'third'").wait_for()
    assert page.locator(".zone > .pair .answer").count() == 2
    page.get_by_role("button", name="Stop comparing").click()
    page.wait_for_function("document.querySelectorAll('.zone > .pair .answer').length === 1")


def test_a_model_that_does_not_exist_is_not_said_to_answer(page, image: Path):
    """Typed into the box: the sentence stays, and header, box and answer go on naming the model that answers."""
    drop(page, image)
    page.wait_for_selector(".answer .what")
    page.get_by_label("Model", exact=True).fill("third")
    page.get_by_label("Model", exact=True).press("Enter")
    page.locator(".model-note", has_text="there is no model 'third'; available: ").wait_for()
    assert "Model second" in page.inner_text("#header") and "third" not in page.inner_text("#header")
    assert page.get_by_label("Model", exact=True).input_value().endswith("second")
    assert "by second" in page.inner_text(".answer") and "third" not in page.inner_text(".answer")
    assert not page.locator(".toast-body").count()
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="first").click()
    page.locator(".answer", has_text="by first").wait_for()
    assert not page.get_by_text("there is no model 'third'").count() and "Model first" in page.inner_text("#header")


def test_a_bad_image_gets_a_sentence_that_stays_until_the_next_try(page, image: Path, tmp_path: Path):
    (tmp_path / "cut<b>.png").write_bytes(image.read_bytes()[:100])
    drop(page, tmp_path / "cut<b>.png")
    page.locator(".answer", has_text="cut<b>.png is damaged or truncated").wait_for()
    page.wait_for_timeout(300)  # in which a toast or a status would come
    assert not page.locator(".toast-body, .error:visible").count() and not page.locator(".answer .what").count()
    broken = "[...document.images].filter(image => image.checkVisibility() && image.complete && !image.naturalWidth)"
    assert not page.evaluate(f"{broken}.length")
    assert page.get_by_role("button", name="Choose images").is_visible()  # ready for the next
    drop(page, image)
    page.wait_for_selector(".answer .what")
    assert "damaged" not in page.inner_text(".answer")


def test_the_card_says_what_the_network_sees(page, image: Path):
    """The image has 32 pixels a side; it is only enlarged to the network's 64."""
    drop(page, image)
    page.locator(".answer", has_text="reduced to 32 x 32 pixels and enlarged to 64 x 64").wait_for()


def test_a_pasted_image_is_classified_wherever_the_focus_is(page, url: str):
    """A real clipboard and Ctrl+V: on another tab, and in a text field, where pasted text stays text."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url.rstrip("/"))
    page.get_by_role("tab", name="Train").click()
    page.evaluate(f"({COPY})({{ image: true }})")
    page.keyboard.press("Control+V")
    page.wait_for_selector(".answer .what")  # the tab is open again
    page.get_by_role("button", name="Remove").click()
    box = page.get_by_label("Model", exact=True)
    box.focus()
    page.evaluate(f"({COPY})({{ image: true, text: 'abc' }})")
    page.keyboard.press("Control+V")
    assert box.input_value().endswith("abc") and not page.locator(".answer .what").count()
    page.evaluate(f"({COPY})({{ image: true }})")
    page.keyboard.press("Control+V")
    page.wait_for_selector(".answer .what")
