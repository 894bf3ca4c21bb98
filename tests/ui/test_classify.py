import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_cifar.model.checkpoint import read_config
from resnet_cifar.model.classifier import Classifier, Prediction
from resnet_cifar.model.unknown import Unknown, as_bank, write_unknown
from resnet_cifar.paths import ROOT
from resnet_cifar.recipe.classes import FINE
from resnet_cifar.ui.classify.accuracy import Accuracy
from resnet_cifar.ui.classify.answers import COLUMNS, Result, example
from resnet_cifar.ui.classify.cards import prediction_card, prediction_tile
from resnet_cifar.ui.classify.examples import EXAMPLES, UNKNOWN, example_image
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.classify.tab import choices, classify_as_json
from resnet_cifar.ui.page import serve
from resnet_cifar.ui.rights import Rights
from tests.builders import checkpoint
from tests.ui.accessibility import serious
from tests.ui.chromium import ARGUMENTS
from tests.ui.conftest import free_port, on_both_screens, screen

EXAMPLES_FOLDER = ROOT / "resnet_cifar" / "ui" / "classify" / "examples"


@pytest.fixture
def page(request: pytest.FixtureRequest, browser, url: str) -> Iterator:
    page = browser.new_page(**screen(request))
    page.goto(url)
    page.wait_for_selector(".examples button")
    responses = "performance.getEntriesByType('resource').filter(entry => entry.name.endsWith('run/predict')).length"
    page.wait_for_function(f"{responses} >= 3")  # the events on load: header, default model, choices and notes
    yield page
    page.close()


@pytest.fixture
def broken(root: Path) -> Iterator[None]:
    """Two more folders, one cut short and one without its config, and a run that has saved nothing yet."""
    file = checkpoint(root / "<i>cut") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:10_000])
    (checkpoint(root / "half") / "config.json").unlink()
    (root / "running").mkdir()
    (root / "running" / "recipe.json").write_text("{}")
    yield
    for name in ("<i>cut", "half", "running"):
        shutil.rmtree(root / name)


@on_both_screens
def test_a_pressed_example_is_classified(page, root: Path):
    classifier = Classifier.load(root / "second", "cpu")
    for name in ("raccoon", "cup"):
        page.get_by_role("button", name=f"example: {name}").click()
        (label, value), *_ = classifier.predict([example_image(name)])[0].probabilities.items()
        page.locator(".answer .what", has_text=label.replace("_", " ")).wait_for()
        assert f"{100 * value:.1f} %" in page.locator(".answer .share").all_inner_texts()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out


def test_examples_can_be_chosen_by_keyboard(page):
    page.get_by_role("button", name="example: raccoon").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "motorcycle"
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer .what")
    assert page.evaluate("document.activeElement.value") == "motorcycle"  # keeps the focus


def test_the_example_of_no_class_is_labelled(page):
    assert page.get_by_role("button", name="example: cat, none of the 100 classes").is_visible()
    assert page.get_by_text("The cat is none of the 100 classes.").is_visible()


def test_five_examples_are_of_the_classes_and_one_is_not():
    assert [name for name in EXAMPLES if name not in FINE] == [UNKNOWN] and len(EXAMPLES) == 6


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_small_and_their_sources_are_listed(name: str):
    file = EXAMPLES_FOLDER / f"{name}.jpg"
    assert file.stat().st_size <= 41_000 and max(example(name).size) <= 480
    assert f"| `{file.name}` |" in (EXAMPLES_FOLDER / "SOURCES.md").read_text(encoding="utf-8")


def test_only_examples_are_opened():
    for other in (None, "", "../raccoon", "/etc/passwd"):
        with pytest.raises(Exception, match="there is no example"):
            example(other)


def test_unusable_folders_are_listed_with_the_reason(page, broken: None):
    assert page.locator(".unusable").count() == 0
    page.get_by_label("Model", exact=True).click()
    page.get_by_text("2 folders cannot be used").click()
    notes = page.inner_text(".unusable li >> nth=0"), page.inner_text(".unusable li >> nth=1")
    assert notes[0].startswith("<i>cut\nmodel.safetensors is truncated") and notes[1] == "half\nconfig.json is missing."
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="first").wait_for()
    assert page.get_by_role("option").count() == 2


def test_a_page_opened_later_lists_them_at_once(broken: None, page):
    page.get_by_text("2 folders cannot be used").wait_for()


def test_the_classes_are_listed_by_superclass_in_everyday_words(page):
    page.get_by_text("Shows which of 100 everyday things is in a photo").wait_for()
    page.get_by_text("See all 100 of them").click()
    vehicles = page.locator(".classes div", has_text="a kind of vehicle")
    assert vehicles.locator("dd").inner_text().count(",") == 9 and "motorcycle" in vehicles.inner_text()
    assert sum(text.count(",") + 1 for text in page.locator(".classes dd").all_inner_texts()) == 100


@pytest.mark.webcam
def test_the_webcam_is_classified_live_and_closed_again(page, url: str):
    """Chromium's webcam shows a clock. Nothing is opened before the button is pressed, or without permission."""
    button = page.get_by_role("button", name="Use the webcam")
    button.click()
    page.locator(".answer", has_text="does not allow this page to use the webcam").wait_for()
    page.context.grant_permissions(["camera"], origin=url.rstrip("/"))
    button.click()
    page.wait_for_selector(".answer .what")
    first = page.get_attribute(".answer .top img", "src")
    page.wait_for_function("src => document.querySelector('.answer .top img').src !== src", arg=first)
    page.get_by_role("button", name="Keep this image").click()
    page.locator(".answer .what").wait_for()
    assert page.locator("img.preview >> nth=0").is_visible()
    button.click()
    page.wait_for_selector("video:visible")
    page.evaluate("window.track = document.querySelector('video').srcObject.getTracks()[0]")
    page.get_by_role("tab", name="Train").click()  # closes it
    page.wait_for_function("window.track.readyState === 'ended'")


def test_why_there_is_no_webcam_is_said(browser, root: Path):
    """In a browser without a webcam, and on a page that is reached over plain HTTP: about 8 s."""
    arguments = [text for text in ARGUMENTS if "fake-device" not in text and "host-resolver" not in text]
    arguments += ["--use-fake-device-for-media-stream=device-count=0", "--host-resolver-rules=MAP page.test 127.0.0.1"]
    app = serve(root, "0.0.0.0", free_port(), wait=False)
    other = browser.another(arguments)
    for host, why in (("127.0.0.1", "No webcam was found."), ("page.test", "only for pages over HTTPS")):
        page = other.new_page()
        page.context.grant_permissions(["camera"])
        page.goto(f"http://{host}:{app.server_port}/")
        page.get_by_role("button", name="Use the webcam").click()
        page.locator(".answer", has_text=why).wait_for()
    other.close()
    app.close()


def test_models_are_ranked_and_barely_trained_ones_hidden(root: Path, tmp_path: Path):
    for name, top1 in (("good", 0.6), ("best", 0.7), ("bad", 0.05), ("unknown", None), ("broken", "high")):
        folder = checkpoint(tmp_path / name)
        if top1 is not None:
            results = {"images": 9, "loss": 1, "top1": top1, "top5": 1, "per_class_top1": {"fox": 0.5}}
            (folder / "eval.json").write_text(json.dumps(results))
    models = Models(tmp_path, Rights())
    good, others = models.ranked()
    assert good == ["best", "good"] and sorted(others) == ["bad", "broken", "unknown"] and models.default() == "best"
    assert choices(models)[0] == ("70.00 % on test: best", "best")
    assert models.accuracy("bad").barely_trained and models.accuracy("broken").text() == "accuracy unknown"
    assert Models(root, Rights()).ranked() == (["second", "first"], [])  # nothing better: none is hidden


def test_the_card_says_how_far_it_can_be_believed(root: Path):
    config = read_config(root / "second")
    sure = Prediction({"fox": 0.93, "wolf": 0.04, "lion": 0.004}, "medium_mammals", example_image("raccoon"))
    card = prediction_card(sure, "<b>mine", config, Accuracy(0.67, "test", "cifar100", {"fox": 0.8}))
    assert "<p class='sure'>Sure</p>" in card and "a medium-sized mammal" in card and "&lt;b&gt;mine" in card
    assert "Right on 67 % of CIFAR-100's test images, and on 80 % of those with the label fox." in card
    assert "knows only 100 classes and always names one of them" in card
    assert "<summary>98 other classes, together 3.0 %</summary><ol><li><span>lion" in card  # folded
    assert "do not rely on it" in prediction_card(sure, "mine", config, Accuracy(0.03))
    assert "accuracy is not known" in prediction_card(sure, "mine", config, Accuracy())


def test_the_card_says_that_an_image_is_probably_none_of_the_classes(root: Path):
    config = read_config(root / "second")
    prediction = Prediction({"fox": 0.93}, "medium_mammals", example_image("cat"), known=False)
    card = prediction_card(prediction, "mine", config, Accuracy())
    assert "Probably none of the 100 classes; closest:</p><p class='what'>fox" in card and ">Sure<" not in card
    assert "often does not notice" in card
    assert "none of these? fox" in prediction_tile("x.png", "", prediction)
    row = Result("x.png", [], prediction).row()
    assert dict(zip(COLUMNS, row, strict=True))["known"] == "no"
    for known in (True, None):
        other = prediction_card(replace(prediction, known=known), "mine", config, Accuracy())
        assert "Probably none" not in other and ">Sure<" in other and ("notice" in other) is (known is True)


def test_the_page_says_that_an_image_is_probably_none_of_the_classes(page, root: Path):
    """On the page and in the API's answer, of a model that knows nothing at all."""
    bank = as_bank(torch.rand(50, 64, generator=torch.Generator().manual_seed(0)))
    write_unknown(checkpoint(root / "wary"), Unknown("knn", 2.0, bank, 5))
    try:
        classified = classify_as_json(Models(root, Rights()), example_image("cup"), "wary")
        assert classified["known"] is False
        box = page.get_by_label("Model", exact=True)
        box.fill("wary")
        box.press("Enter")
        page.get_by_role("button", name="example: cup").click()
        page.locator(".answer .sure", has_text="Probably none of the 100 classes; closest:").wait_for()
        page.locator(".answer .by", has_text="Answered by wary").wait_for()
    finally:
        shutil.rmtree(root / "wary")


@on_both_screens
def test_accessibility(broken: None, page):
    """axe-core, WCAG AA, with the note open and an example classified."""
    page.get_by_text("2 folders cannot be used").click()
    page.get_by_role("button", name="example: rocket").click()
    page.wait_for_selector(".answer .what")
    assert not serious(page)
