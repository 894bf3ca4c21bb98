import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cifar.model.classifier import Classifier
from resnet_cifar.recipe.classes import FINE
from tests.builders import checkpoint


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["wide-light", "phone-dark"])
def page(request: pytest.FixtureRequest, browser, url: str) -> Iterator:
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(url)
    page.wait_for_selector(".examples button")
    yield page
    page.close()


@pytest.fixture
def broken(root: Path) -> Iterator[None]:
    """Two more folders, one cut short and one without its config, and a run that has kept nothing yet."""
    file = checkpoint(root / "<i>cut") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:10_000])
    (checkpoint(root / "half") / "config.json").unlink()
    (root / "running").mkdir()
    (root / "running" / "recipe.json").write_text("{}")
    yield
    for name in ("<i>cut", "half", "running"):
        shutil.rmtree(root / name)


def drawn(name: str):
    from resnet_cifar.ui.classify.examples import drawn

    return drawn(name)


def test_a_press_on_an_example_answers_it(page, root: Path):
    classifier = Classifier.load(root / "second", "cpu")
    for name in ("orange", "sea"):
        page.get_by_role("button", name=f"example: {name}").click()
        (label, value), *_ = classifier.predict([drawn(name)])[0].probabilities.items()
        page.locator(".answer .what", has_text=label.replace("_", " ")).wait_for()
        assert f"{100 * value:.1f} %" in page.locator(".answer .share").all_inner_texts()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out


def test_examples_can_be_had_by_keyboard(page):
    page.get_by_role("button", name="example: orange").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "sunflower"
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer .what")
    assert page.evaluate("document.activeElement.value") == "sunflower"  # still there


def test_every_example_shows_one_of_the_classes_and_no_other_can_be_had():
    from resnet_cifar.ui.classify.examples import EXAMPLES
    from resnet_cifar.ui.classify.tab import example

    for name in EXAMPLES:
        assert name in FINE and example(name).mode == "RGB"
    for other in (None, "", "../orange", "/etc/passwd"):
        with pytest.raises(Exception, match="there is no example"):
            example(other)


def test_unusable_folders_are_told_of_with_the_reason(page, broken: None):
    assert page.locator(".unusable").count() == 0
    page.get_by_label("Model").click()
    page.get_by_text("2 folders can't be used").click()
    told = page.inner_text(".unusable li >> nth=0"), page.inner_text(".unusable li >> nth=1")
    assert told[0].startswith("<i>cut\nmodel.safetensors is truncated") and told[1] == "half\nconfig.json is missing."
    page.get_by_label("Model").click()
    page.get_by_role("option", name="first").wait_for()
    assert page.get_by_role("option").count() == 2


def test_a_page_that_is_opened_later_tells_at_once(broken: None, page):
    page.get_by_text("2 folders can't be used").wait_for()


def test_nothing_serious_stands_in_anybodys_way(broken: None, page):
    """axe-core, WCAG AA, with the note open and an example answered."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.get_by_text("2 folders can't be used").click()
    page.get_by_role("button", name="example: cloud").click()
    page.wait_for_selector(".answer .what")
    found = axe.run(page).response["violations"]
    assert not [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in ("serious", "critical")]
