"""The Classify tab in a real browser. No request goes to another host."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cifar.data.classes import FINE
from tests.awkward import halves, saved


@pytest.fixture(params=[(1280, 860, "light"), (390, 844, "dark")], ids=["wide-light", "phone-dark"])
def page(request: pytest.FixtureRequest, browser, url: str) -> Iterator:
    width, height, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    elsewhere: list[str] = []

    def only_here(route) -> None:
        here = route.request.url.startswith(url)
        if not here:
            elsewhere.append(route.request.url)
        (route.continue_ if here else route.abort)()

    page.route("http*://**", only_here)
    page.goto(url)
    page.wait_for_selector(".answer")
    yield page
    assert not elsewhere
    page.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "halves.png").write_bytes(saved(halves(), "PNG"))
    return tmp_path / "halves.png"


def drop(page, file: Path) -> None:
    page.set_input_files("input[type=file]", file)


def test_a_dropped_image_is_classified_and_removed(page, image: Path):
    """Opens a page in Chromium: a few seconds."""
    assert "Drop an image" in page.inner_text(".answer")
    drop(page, image)
    page.wait_for_selector(".answer .what")
    assert page.inner_text(".answer .what").replace(" ", "_") in FINE
    assert page.locator(".answer li").count() == 5
    assert page.evaluate("document.querySelector('.answer img').naturalWidth") == 64
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out
    page.get_by_label("Clear").or_(page.get_by_label("Remove Image")).first.click()
    page.wait_for_selector(".answer .empty")


def test_another_model_classifies_the_image_again(page, image: Path):
    drop(page, image)
    page.wait_for_selector(".answer .what")
    before = page.inner_text(".answer")
    page.get_by_label("Model").click()
    page.get_by_role("option", name="first").click()
    page.wait_for_function("text => document.querySelector('.answer').innerText !== text", arg=before)


def test_a_bad_image_gets_a_sentence_and_the_page_lives_on(page, image: Path, tmp_path: Path):
    (tmp_path / "cut.png").write_bytes(image.read_bytes()[:100])
    drop(page, tmp_path / "cut.png")
    page.get_by_text("cut.png is broken or cut short").wait_for()
    assert page.locator(".answer .what").count() == 0


def test_accessibility(page, image: Path):
    """axe-core, WCAG AA, before and after a prediction: about 5 s."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for _ in range(2):
        found = axe.run(page).response["violations"]
        serious = [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in ("serious", "critical")]
        assert not serious
        drop(page, image)
        page.wait_for_selector(".answer .what")
