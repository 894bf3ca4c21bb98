"""The Inspect tab in a real browser, over tiny runs on synthetic images. The page and its runs are shared."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cifar.data.images import centre_square
from resnet_cifar.inspection.confusion import confusion, most_confused
from resnet_cifar.inspection.grad_cam import explain
from resnet_cifar.inspection.mistakes import worst
from resnet_cifar.inspection.neighbours import Index
from resnet_cifar.inspection.predictions import FOLDER, Predictions, compute, stored
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.report.text import percent
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.ui.inspect.tiles import data_url
from resnet_cifar.ui.page import serve
from tests.awkward import halves, saved
from tests.builders import CPU, checkpoint, recipe, result, told
from tests.ui.accessibility import serious
from tests.ui.conftest import free_port

PLOT = "document.querySelector('#inspect .confusion .plot')"
VIEWS = ("Calibration", "Confusion", "Classes", "Mistakes", "Why", "Robustness")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`first` and `second` are inspected on test; `fresh` is not, and `large` takes long."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, (name, side) in enumerate({"first": 64, "second": 32, "fresh": 32, "large": 512}.items()):
        told(folder / name, recipe())
        checkpoint(folder / name, seed=seed, image_size=side)
    for name in ("first", "second"):
        result(compute(RunDir(folder / name), "test", None, CPU))
    return folder


@pytest.fixture(scope="module")
def answered(runs: Path) -> Predictions:
    found = stored(RunDir(runs / "first"), "test")
    assert found is not None
    return found


@pytest.fixture
def page(request: pytest.FixtureRequest, browser, address: str) -> Iterator:
    width, scheme = getattr(request, "param", (1280, "light"))
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(address + "#inspect")
    yield page
    assert not errors
    page.close()


def choose(page, run: str, view: str) -> None:
    page.locator("#inspect select.run option", has_text=run).wait_for(state="attached")
    page.get_by_label("Model", exact=True).locator("visible=true").select_option(run)
    page.locator("#inspect .inspect[aria-busy=false]").wait_for()  # a link that moves during a click is not followed
    turn_to(page, view)


def turn_to(page, view: str) -> None:
    page.locator("#inspect .views").get_by_text(view, exact=True).click()


def test_a_run_is_inspected_with_progress_and_a_second_visitor_sees_it(page, browser, address: str, runs: Path):
    """Two browsers, and a run that is evaluated while they watch: about 6 s."""
    choose(page, "fresh", "Calibration")
    page.get_by_text("fresh has not been inspected on test yet").wait_for()
    page.get_by_text("1,000 images, less than a minute").wait_for()
    other = browser.new_page()
    other.goto(address + "#inspect")
    choose(other, "fresh", "Calibration")
    page.get_by_role("button", name="Inspect this run").click()
    page.locator("#inspect .offer progress").wait_for()
    page.locator("#inspect .numbers dd").first.wait_for()
    found = stored(RunDir(runs / "fresh"), "test")
    assert found is not None
    summary = found.summary()
    shown = page.locator("#inspect .numbers dd").all_inner_texts()
    fractions = [percent(summary[key]) for key in ("top1", "top5", "coarse_top1", "ece")]
    assert shown == [*fractions[:3], f"{summary['loss']:.4f}", fractions[3]]
    page.wait_for_function("document.querySelector('#inspect .calibration .plot').data?.length === 2")
    turn_to(other, "Confusion")
    other.locator("#inspect .pairs li").first.wait_for()
    other.close()


def test_an_inspection_is_stopped(page, runs: Path):
    choose(page, "large", "Calibration")
    page.get_by_role("button", name="Inspect this run").click()
    page.get_by_text(" of 1,000").wait_for()  # at work
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Inspect this run").wait_for()
    assert not (runs / "large" / FOLDER).exists()
    turn_to(page, "Confusion")
    assert not page.locator("#inspect .pairs").is_visible()  # nothing is stored


def test_a_cell_and_a_pair_show_the_images_behind_them(page, answered: Predictions):
    choose(page, "first", "Confusion")
    page.wait_for_function(f"{PLOT}.data?.length")
    counts, names = confusion(answered), [name.replace("_", " ") for name in answered.spec.labels]
    pairs = most_confused(counts, answered.spec)
    buttons = page.locator("#inspect .pairs button")
    assert buttons.count() == len(pairs) == 20
    title = page.locator("#inspect .behind h3")
    row, column = page.evaluate(
        f"""() => {{ const z = {PLOT}.data[0].z, flat = z.flat();
        const at = flat.indexOf(Math.max(...flat.filter(Boolean))); return [Math.floor(at / 100), at % 100]; }}"""
    )
    true, predicted = page.evaluate(f"[{PLOT}.data[0].y[{row}], {PLOT}.data[0].x[{column}]]")
    count = int(counts[names.index(true), names.index(predicted)])
    page.locator("#inspect .confusion .plot").scroll_into_view_if_needed()
    x, y = page.evaluate(
        f"""() => {{ const {{ xaxis, yaxis }} = {PLOT}._fullLayout, box = {PLOT}.getBoundingClientRect();
        return [box.x + xaxis._offset + xaxis.l2p({column}), box.y + yaxis._offset + yaxis.l2p({row})]; }}"""
    )
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    title.wait_for()
    assert title.inner_text().startswith(f"{true}, taken for {predicted}: {count:,} image")
    tiles = page.locator("#inspect .behind .tiles li")
    assert tiles.count() == min(count, 48)
    assert f"labelled {true}" in tiles.first.inner_text() and predicted in tiles.first.inner_text()
    assert page.evaluate("document.querySelector('#inspect .behind img').naturalWidth") == 32
    buttons.nth(3).click()
    pair = pairs[3]
    page.locator("#inspect .behind h3", has_text=f"{names[pair.true]}, taken for {names[pair.predicted]}").wait_for()
    page.get_by_label("20 superclasses").check()
    page.wait_for_function(f"{PLOT}.data[0].z.length === 20")
    page.set_viewport_size({"width": 600, "height": 900})
    page.wait_for_function(f"{PLOT}.clientWidth < 600 && {PLOT}._fullLayout.width === {PLOT}.clientWidth")


def test_mistakes_are_filtered_and_labels_doubted(page, answered: Predictions):
    choose(page, "first", "Mistakes")
    tiles = page.locator("#inspect .mistakes .tiles li")
    tiles.first.wait_for()
    assert tiles.count() == 48
    label = most_confused(confusion(answered), answered.spec)[0].true
    name = answered.spec.labels[label].replace("_", " ")
    page.get_by_label("Images of").select_option(str(label))
    page.get_by_text(f"on images of {name}").wait_for()
    expected = worst(answered, 48, label)
    assert tiles.count() == len(expected)
    texts = tiles.all_inner_texts()
    assert all(f"labelled {name}" in text for text in texts)
    assert f"loss {expected[0].loss:.2f}" in texts[0]
    page.get_by_label("Likely label errors").check()
    page.get_by_text("The model doubts the label of").wait_for()
    assert "loss" not in tiles.first.inner_text()


def test_two_runs_side_by_side_and_a_class_opens_its_mistakes(page, answered: Predictions):
    turn_to(page, "Classes")  # at once: the tab's script has yet to run
    page.get_by_label("Model", exact=True).locator("visible=true").select_option("first")
    rows = page.locator("#inspect .bars li")
    rows.first.wait_for()
    assert rows.count() == 100 and page.locator("#inspect .bar.second").count() == 0
    values = [int(text.split()[0]) for text in page.locator("#inspect .bars .share").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    page.get_by_label("Second model").locator("visible=true").select_option("second")
    page.locator("#inspect .bar.second").first.wait_for()
    assert page.locator("#inspect .bar.second").count() == 100
    page.get_by_label("Second model").locator("visible=true").select_option("large")
    page.get_by_text("large has not been inspected on test yet.").wait_for()
    name = rows.last.locator(".name").inner_text()
    rows.last.get_by_role("button").click()
    page.get_by_text(f"on images of {name}").wait_for()
    assert page.url.endswith("#inspect/mistakes")
    page.go_back()
    rows.first.wait_for()


def test_a_dropped_image_is_explained_and_has_neighbours(page, runs: Path, tmp_path: Path):
    (tmp_path / "halves.png").write_bytes(saved(halves(), "PNG"))
    choose(page, "first", "Why")
    page.set_input_files("#why input[type=file]", tmp_path / "halves.png")
    answers = page.locator("#why .answers button")
    answers.nth(4).wait_for()
    name, label = answers.nth(1).locator("span").first.inner_text(), answers.nth(1).get_attribute("value")
    answers.nth(1).click()
    page.locator(f'#why .heat[alt="what in the image speaks for {name}, at layer4"]').wait_for()
    page.get_by_label("layer2", exact=True).check()
    heat = page.locator(f'#why .heat[alt="what in the image speaks for {name}, at layer2"]')
    heat.wait_for()
    classifier, square = Classifier.load(runs / "first", "cpu"), centre_square(halves(), 64)
    assert heat.get_attribute("src") == data_url(explain(classifier, square, label, "layer2"), "JPEG")
    page.get_by_role("button", name="Build the index").click()
    near = page.locator("#why .near .tiles li")
    near.nth(11).wait_for()
    assert page.get_by_text("of the 100 images it was trained on").is_visible()
    page.set_input_files("#why input[type=file]", __file__)
    page.locator("#why .fault", has_text="is not an image in a known format").wait_for()


def test_a_class_picked_before_the_index_is_offered_does_not_lose_the_offer(page):
    held = []
    page.route("**/component_server/", lambda route: held.append(route) if offers_index(route) else route.continue_())
    choose(page, "fresh", "Why")
    page.locator("#why .examples button").nth(0).click()
    second = page.locator("#why .answers button").nth(1)
    second.click()
    page.locator("#why .answers li:nth-child(2) button[aria-pressed=true]").wait_for()
    assert len(held) == 1
    held[0].continue_()
    page.get_by_role("button", name="Build the index").wait_for()


def test_a_layer_picked_before_a_new_image_is_answered_keeps_its_nearest_images(page, runs: Path):
    result(Index.build(RunDir(runs / "second"), None, CPU))
    choose(page, "second", "Why")
    tiles, examples = page.locator("#why .near .tiles li"), page.locator("#why .examples button")
    examples.nth(0).click()
    tiles.nth(11).wait_for()
    first, best = tiles.all_inner_texts(), page.locator("#why .answers").inner_text()
    page.evaluate(
        """() => { document.querySelectorAll("#why .examples button")[1].click();
        document.querySelector("#why .layers input[value=layer1]").click(); }"""
    )
    page.wait_for_function("best => document.querySelector('#why .answers').innerText !== best", arg=best)
    assert tiles.all_inner_texts() != first
    assert page.locator("#why .answers button").first.get_attribute("aria-pressed") == "true"


def test_a_question_without_an_answer_is_told(browser, address: str):
    page = browser.new_page()
    page.goto(address + "#inspect")
    choose(page, "first", "Calibration")
    page.locator("#inspect .numbers dd").first.wait_for()
    page.route("**/component_server/", lambda route: route.fulfill(status=502, body="bad gateway"))
    turn_to(page, "Classes")
    page.locator("#inspect .fault", has_text="The page is busy or has lost its connection; try again.").wait_for()
    page.close()


def offers_index(route) -> bool:
    """Whether a request asks for the offer of an index."""
    sent = route.request.post_data or ""
    return '"offer"' in sent and '"neighbours"' in sent


@pytest.mark.parametrize("page", [(1280, "light"), (390, "dark")], ids=["wide-light", "phone-dark"], indirect=True)
def test_accessibility_of_every_view(page):
    """axe-core, WCAG AA: about 8 s."""
    choose(page, "first", "Calibration")
    page.locator("#inspect .numbers dd").first.wait_for()
    for view in VIEWS:
        turn_to(page, view)
        if view == "Confusion":
            page.locator("#inspect .pairs button").first.click()
            page.locator("#inspect .behind .tiles li").first.wait_for()
        if view == "Why":
            page.locator("#why .examples button").first.click()
            page.locator("#why .answers li").first.wait_for()
        page.wait_for_timeout(300)
        assert not serious(page), view
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view  # nothing sticks out


def test_the_tab_is_whole_if_it_is_opened_late_and_follows_classify(browser, address: str):
    """By then the page has loaded and its timers have ticked, while Gradio had not mounted the tab yet: about 8 s."""
    page = browser.new_page()
    page.goto(address)
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="second").click()
    page.get_by_text("Model second").wait_for()
    page.wait_for_timeout(5_000)
    page.get_by_role("tab", name="Inspect").click()
    page.locator("#inspect .numbers dd").first.wait_for()
    assert page.locator("#inspect select.run").input_value() == "second"
    page.wait_for_function("document.querySelector('#inspect .calibration .plot').data?.length === 2")
    page.close()


def test_strangers_look_but_do_not_compute(browser, runs: Path):
    """Serves a page of its own: about 4 s."""
    app = serve(runs, "127.0.0.1", free_port(), read_only=True, wait=False)
    page = browser.new_page()
    page.goto(app.local_url + "#inspect")
    choose(page, "first", "Confusion")
    page.locator("#inspect .pairs li").first.wait_for()
    choose(page, "large", "Confusion")
    page.locator("#inspect .offer", has_text="was started with --read-only").wait_for()
    assert page.get_by_role("button", name="Inspect this run").count() == 0
    page.close()
    app.close()
