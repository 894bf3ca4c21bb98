"""The form of a new run in a real browser."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs.notes import read_notes
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.preflight import using
from resnet_cifar.ui.page import serve
from tests.builders import CPU, recipe, stage, told, wait
from tests.ui.conftest import free_port

EARLIER = recipe(seed=4, about="what was done before")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run."""
    root = tmp_path_factory.mktemp("runs")
    told(root / "earlier", EARLIER)
    return root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[str]:
    app = serve(root, "127.0.0.1", free_port(), wait=False)
    yield f"{app.local_url}#train"
    app.close()


@pytest.fixture
def page(browser, served: str) -> Iterator:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(served)
    page.get_by_label("Epochs of stage 1").wait_for()
    yield page
    assert not errors
    page.close()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Recipe, Path | None, dict[str, str]]]:
    """What would have been started."""
    runs: list[tuple[Recipe, Path | None, dict[str, str]]] = []

    def start(self: Launcher, recipe: Recipe, data_dir: Path | None, gpus: int = 1, **told: str) -> None:
        runs.append((recipe, data_dir, told))

    monkeypatch.setattr(Launcher, "start", start)
    return runs


def press_start(page) -> None:
    page.get_by_role("button", name="Start training").click()


def saved(page) -> Recipe:
    """The recipe that the form describes, as it is saved into a file."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a file").click()
    return Recipe.from_json(Path(download.value.path()).read_text())


def test_what_is_typed_right_before_the_start_is_used(page, started: list):
    """Nothing waits for the page's answer; values that are not shown follow from those that are."""
    page.get_by_label("scratch", exact=True).check()
    page.get_by_label("Run name").fill("mine")
    page.get_by_label("Notes").fill("with <b>care</b>")
    page.get_by_label("Epochs of stage 1").fill("20")
    page.evaluate("document.querySelector('#start').click()")
    wait(lambda: started)
    ((found, _, told),) = started
    expected = RECIPES["scratch"].stages[0].changed(epochs=20)
    warmup = found.stages[0].warmup_epochs
    assert found.stages == (replace(expected, warmup_epochs=warmup),)
    assert warmup == pytest.approx(expected.warmup_epochs, rel=1e-5)  # six digits are shown
    assert told == {"name": "mine", "notes": "with <b>care</b>"}


def test_the_tutorials_way_with_another_network_is_built_from_the_page_alone(page):
    page.get_by_label("transfer", exact=True).check()
    page.get_by_label("advanced settings of the run").click()
    page.get_by_label("Architecture").select_option("resnet18")
    page.get_by_label("advanced settings of stage 3").click()
    page.get_by_label("Early stopping of stage 3").fill("4")
    page.get_by_label("Augmentation of stage 3").select_option("trivial")
    page.get_by_label("Augmentation of stage 1").select_option("strong")  # a head on cached features cannot mix
    page.get_by_label("Learning rate of stage 2").fill("0.04")
    page.get_by_label("Learns of stage 2").select_option("layer3 to fc")
    assert page.get_by_label("Backbone rate of stage 2").input_value() == "0.02"  # in proportion, and in sight
    found = saved(page)
    head, everything, augmented = found.stages
    assert found.arch == "resnet18" and (augmented.patience, augmented.augmentation) == (4, AUGMENTATIONS["trivial"])
    assert (head.augmentation, head.views) == (AUGMENTATIONS["strong"], 0)
    assert (everything.lr, everything.backbone_lr, everything.trainable) == (0.04, 0.02, ("layer3", "layer4", "fc"))
    page.get_by_role("button", name="Undo all edits").click()
    assert saved(page) == RECIPES["transfer"]


def test_stages_and_changes_are_added_and_removed(page):
    page.get_by_label("overnight", exact=True).check()
    page.get_by_text("then 96, 128").wait_for()
    page.get_by_role("button", name="Add a stage").click()
    page.keyboard.type(" again")  # its name is focused
    page.get_by_label("advanced settings of stage 2").click()
    page.get_by_label("remove change 1 of stage 2").click()
    page.get_by_label("add a change to stage 2").click()
    page.get_by_label("Image size of change 2 of stage 2").fill("160")
    page.get_by_label("Augmentation of change 2 of stage 2").select_option("flip")
    page.get_by_label("layer1 learns in stage 2").uncheck()
    found = saved(page)
    first, second = found.stages
    assert first == RECIPES["overnight"].stages[0] and second.image_sizes == (64, 128, 160)
    assert second.progression[1].augmentation == AUGMENTATIONS["flip"] and "layer1" not in second.trainable
    page.get_by_label("remove stage 1").click()
    assert saved(page).stages == (second,)


TYPE_OUT_OF_SIGHT = """() => {
  const field = document.querySelector("#field-run-data_dir");
  field.value = "/nowhere";
  field.dispatchEvent(new Event("input", {bubbles: true}));
}"""


def test_faults_are_shown_at_their_fields(page, started: list):
    page.get_by_label("transfer", exact=True).check()
    page.get_by_label("Learning rate of stage 2").fill("20")
    page.get_by_label("Epochs of stage 3").fill("many")
    page.get_by_label("Image size of stage 1").fill("16")
    page.get_by_text("Learning rate is 20.0; it must lie between 1e-06 and 10.").first.wait_for()
    page.get_by_text("Epochs is 'many'; it must be a whole number.").wait_for()
    page.get_by_text("with the stock stem").wait_for()
    assert page.get_by_label("Learning rate of stage 2").get_attribute("aria-invalid") == "true"
    assert page.get_by_label("Learning rate of stage 1").get_attribute("aria-invalid") == "false"
    press_start(page)
    page.locator(".toast-body", has_text="2 more fields are marked").wait_for()
    assert not started
    page.get_by_label("Image size of stage 1").fill("64")
    page.get_by_label("Learning rate of stage 2").fill("0.02")
    page.get_by_label("remove stage 3").click()
    page.wait_for_function("!document.querySelector('.recipe-form [aria-invalid=true]')")
    page.evaluate(TYPE_OUT_OF_SIGHT)
    page.locator("[data-path='run.data_dir'] .fault", has_text="/nowhere").wait_for()  # unfolded, so that it is seen


def test_edits_survive_a_reload_and_a_broken_memory_is_ignored(page):
    """Loads the page five times: about 6 s."""
    page.get_by_label("sprint", exact=True).check()
    page.get_by_label("Epochs of stage 1").fill("9")
    page.get_by_label("Run name").fill("later")
    page.reload()
    page.get_by_label("Epochs of stage 1").wait_for()
    assert page.get_by_label("Epochs of stage 1").input_value() == "9"
    assert page.get_by_label("Run name").input_value() == "later"
    assert page.get_by_label("sprint", exact=True).is_checked() and page.get_by_text("Recipe sprint, edited").count()
    assert saved(page).stages[0].epochs == 9
    key = page.evaluate("Object.keys(localStorage).find(key => key.startsWith('resnet_cifar.form'))")
    kept = json.loads(page.evaluate("key => localStorage.getItem(key)", key))
    del kept["recipe"]["stages"][0]["epochs"]  # as an earlier version may have left it
    for broken in (json.dumps(kept), "{", "null", '{"recipe": {"stages": []}}'):
        page.evaluate("([key, text]) => localStorage.setItem(key, text)", [key, broken])
        page.reload()
        page.get_by_label("Epochs of stage 1").wait_for()
        assert page.get_by_label("Epochs of stage 1").input_value() == "3"  # that of quick


def test_a_form_is_filled_like_a_run_and_from_a_file(page, tmp_path: Path):
    page.get_by_label("Like run").focus()
    page.locator(".like option", has_text="earlier").wait_for(state="attached")
    page.get_by_label("Epochs of stage 1").fill("8")
    page.get_by_label("Like run").focus()
    page.get_by_label("Like run").select_option("earlier")
    page.get_by_text("Like run earlier").wait_for()
    assert saved(page) == EARLIER and page.locator(".recipe-cards input:checked").count() == 0
    page.get_by_role("button", name="Bring my edits back").click()
    assert page.get_by_label("Epochs of stage 1").input_value() == "8"
    (tmp_path / "own.json").write_text(RECIPES["transfer"].to_json())
    page.get_by_label("Recipe file").set_input_files(tmp_path / "own.json")
    page.get_by_text("Like file own.json").wait_for()
    assert saved(page) == RECIPES["transfer"]
    (tmp_path / "bad.json").write_text('{"name": "<img src=x onerror=alert()>", "stages": 5}')
    page.get_by_label("Recipe file").set_input_files(tmp_path / "bad.json")
    page.locator(".sources .fault", has_text="stages is 5; it must be a list").wait_for()
    assert saved(page) == RECIPES["transfer"]


def test_each_field_says_what_it_means_by_keyboard_too(page):
    mark = page.locator("[data-path='stages.0.lr'] .help")
    page.get_by_label("Epochs of stage 1").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    mark.focus()
    assert page.locator(".tip").inner_text().startswith("Size of a step at its peak")
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()
    mark.hover()
    assert page.locator(".tip").is_visible()


def test_recipes_are_chosen_by_keyboard_and_say_what_they_cost(page):
    page.get_by_label("quick", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("small-budget", exact=True).is_checked()
    assert page.get_by_label("Epochs of stage 1").input_value() == "24"
    page.wait_for_function("[...document.querySelectorAll('.recipe-card .cost')].every(node => node.innerText.trim())")
    assert "12,000 of 50,000 images" in page.locator(".recipe-card", has_text="quick").inner_text()


def test_the_data_is_shown_before_and_after_and_follows_the_form(page):
    page.get_by_label("advanced settings of the run").click()
    page.get_by_label("Data", exact=True).select_option("synthetic")
    page.get_by_label("see the data of stage 1").click()
    page.locator(".strip img").nth(15).wait_for()
    after = "[...document.querySelectorAll('.strip:nth-child(2) img')].map(node => node.src).join()"
    shown = page.evaluate(after)
    assert page.evaluate("[...document.querySelectorAll('.strip img')].every(node => node.naturalWidth === 64)")
    page.get_by_label("Augmentation of stage 1").select_option("strongest")
    page.wait_for_function(f"{after} !== {json.dumps(shown)}")


def test_a_learning_rate_is_found_and_taken_over(page, tmp_path: Path):
    """100 steps of the tiny network: a few seconds."""
    plan = recipe(stage(), stage(name="again", lr=0.1, backbone_lr=0.05))
    (tmp_path / "two.json").write_text(plan.to_json())
    page.get_by_label("Recipe file").set_input_files(tmp_path / "two.json")
    page.get_by_label("advanced settings of stage 2").click()
    page.get_by_label("find a learning rate for stage 2").click()
    page.get_by_label("use learning rate").click()
    page.locator(".finder .curve .main-svg").first.wait_for()
    rate = float(page.get_by_label("Learning rate of stage 2").input_value())
    assert page.get_by_text(f"Suggested: {rate:g}").count() and page.get_by_text("It is in the form.").count()
    assert float(page.get_by_label("Backbone rate of stage 2").input_value()) == pytest.approx(rate / 2)
    assert page.get_by_label("Learning rate of stage 1").input_value() == "0.05"
    page.get_by_label("Batch size of stage 2").fill("32")
    page.get_by_text("Other fields have changed since this test.").wait_for()
    with using(CPU, "some-run"):
        page.get_by_label("find again for stage 2").click()
        page.locator(".finder .fault", has_text="busy with run 'some-run'").wait_for()


def test_a_class_is_explored(page):
    page.get_by_label("advanced settings of the run").click()
    page.get_by_label("Data", exact=True).select_option("synthetic")
    page.get_by_label("Augmentation of stage 1").select_option("strong")
    page.get_by_label("explore the data of stage 1").click()
    page.locator(".before-after").nth(11).wait_for()
    page.get_by_label("Class", exact=True).select_option("trout")
    page.get_by_text("12 of 80 train images of trout").wait_for()
    page.locator(".before-after figcaption", has_text="% trout").first.wait_for()
    page.get_by_label("more images").click()
    page.get_by_text("24 of 80 train images of trout").wait_for()
    assert page.locator(".before-after img").count() == 48
    after = "[...document.querySelectorAll('.before-after img:last-child')].map(node => node.src).slice(0, 12).join()"
    shown = page.evaluate(after)
    page.get_by_role("button", name="Draw again").click()
    page.wait_for_function(f"{after} !== {json.dumps(shown)}")
    page.get_by_text("12 of 80 train images of trout").wait_for()
    page.keyboard.press("Escape")
    assert not page.locator(".explorer").is_visible()
    page.get_by_label("Data", exact=True).select_option("cifar100")
    page.get_by_label("Data folder").fill("/nowhere")
    page.get_by_label("explore the data of stage 1").click()
    page.locator(".explorer .fault", has_text="there is no data folder /nowhere").wait_for()


STICKING_OUT = """[...document.querySelectorAll("#stages .card")].flatMap(card => {
  const right = node => node.getBoundingClientRect().right;
  const shown = [...card.querySelectorAll("*")].filter(node => node.checkVisibility());
  return shown.filter(node => right(node) > right(card)).map(node => node.outerHTML);
})"""


def test_stages_never_stick_out_of_their_cards(page):
    page.get_by_label("transfer", exact=True).check()
    page.get_by_label("Learning rate of stage 2").fill("a number that is not one")
    page.wait_for_selector("[aria-invalid=true]")
    page.get_by_label("advanced settings of stage 2").click()
    for width in (390, 560, 768, 1000, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert not page.evaluate(STICKING_OUT)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


TYPE_AT_ONCE = """() => {
  const type = () => {
    const field = document.querySelector("#field-stages-0-epochs");
    if (!field?.checkVisibility({visibilityProperty: true})) return requestAnimationFrame(type);
    field.value = "77";
    field.dispatchEvent(new Event("input", {bubbles: true}));
  };
  type();
}"""


def test_text_typed_the_moment_a_field_appears_stays(browser, served: str, started: list):
    page = browser.new_page()
    page.goto(served.replace("#train", ""))
    page.get_by_role("tab", name="Train").wait_for()
    page.evaluate(TYPE_AT_ONCE)
    page.get_by_role("tab", name="Train").click()
    page.wait_for_function("document.querySelector('#field-stages-0-epochs')?.value === '77'")
    page.wait_for_timeout(1_500)
    assert page.get_by_label("Epochs of stage 1").input_value() == "77"
    press_start(page)
    wait(lambda: started)
    assert started[0][0].stages[0].epochs == 77
    page.close()


def test_a_run_gets_its_name_and_notes(page, root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Launcher, "spawn", lambda *arguments: None)
    page.get_by_label("advanced settings of the run").click()
    page.get_by_label("Data", exact=True).select_option("synthetic")
    page.get_by_label("Run name").fill("named")
    page.get_by_label("Notes").fill("first words")
    press_start(page)
    wait(lambda: read_notes(root / "named").text == "first words")
    assert RunDir(root / "named").recipe().train_images is None  # quick's 12,000 are more than there are
    page.get_by_label("Notes").fill("again")
    page.get_by_text("There is already a run 'named'").first.wait_for()
    RunDir(root / "named").delete()
