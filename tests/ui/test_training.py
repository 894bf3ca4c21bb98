"""Training from the page, in a real browser: real child processes train a real network on synthetic images."""

import os
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from resnet_cifar.model.tensors import read_tensors
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.session import train
from tests.awkward import halves, saved
from tests.builders import CPU, checkpoint, stage, wait, within
from tests.builders import recipe as tiny
from tests.ui.conftest import App, describe_run


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = App(tmp_path_factory.mktemp("runs"))
    app.start()
    yield app
    app.kill()


@pytest.fixture
def app(served: App) -> Iterator[App]:
    """The page over a folder without runs."""
    yield served
    for run in map(RunDir, served.root.iterdir()):
        holder = run.holder()
        if holder and holder.pid:
            os.kill(holder.pid, signal.SIGKILL)
            wait(lambda run=run: run.holder() is None)
        wait(lambda run=run: not run.metrics_file.exists() or run.status() != "running")
        run.delete()


@pytest.fixture
def opened(browser, app: App) -> Iterator[Callable]:
    """Open the page in a new window, on a given tab."""
    pages = []

    def open_page(tab: str):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        pages.append(page)
        page.goto(app.url)
        page.get_by_role("tab", name=tab).click()
        return page

    yield open_page
    for page in pages:
        page.close()


def press_start(page) -> None:
    page.get_by_role("button", name="Start training").click()


def status(page) -> str:
    return page.inner_text(".live .state")


def points(page) -> int:
    """Number of points of the plot's first line."""
    return page.evaluate("document.querySelector('#curves .plot')?.calcdata?.[0]?.length ?? 0")


def test_a_run_from_start_to_end_through_reload_stop_and_resume(app: App, opened: Callable):
    """Trains 20 epochs of 4,000 images, and torch is imported twice: about 20 s."""
    page = opened("Train")
    page.get_by_text("No runs yet").wait_for()
    describe_run(page, epochs=20)
    press_start(page)
    page.wait_for_selector(".live .state.running")
    page.get_by_role("tab", name="Curves").click()
    page.wait_for_function("document.querySelector('#curves .plot')?.calcdata?.[0]?.length > 2")
    before = points(page)

    page.reload()  # and the same tab is open
    page.wait_for_function(f"document.querySelector('#curves .plot')?.calcdata?.[0]?.length > {before}")
    page.get_by_role("tab", name="Train").click()
    page.wait_for_selector(".live .state.running")

    page.get_by_role("button", name="Stop").click()
    took = wait(lambda: status(page) == "stopped")
    assert took < within(3.5)  # 2 to stop, 1 until the page looks again, and the browser's own pace
    page.get_by_role("button", name="Resume").click()
    page.wait_for_selector(".live .state.running")
    page.wait_for_selector(".live .state.completed", timeout=300_000)
    assert "test top-1" in page.inner_text(".live") and page.locator(".live li.done").count() == 1

    page.get_by_role("button", name=re.compile("^Log")).click()
    assert "done in" in page.inner_text("pre.log")
    page.get_by_role("tab", name="Curves").click()
    cells = page.locator("#runs tbody tr td").all_inner_texts()
    assert {"quick-1", "quick", "20 / 20", "completed"} <= set(cells)
    page.get_by_role("tab", name="Classify").click()
    page.get_by_label("Model").click()
    page.get_by_role("option", name="quick-1").wait_for()  # without a restart


def test_one_of_two_simultaneous_starts_is_refused(app: App, opened: Callable):
    """Two pages in Chromium, and a child that imports torch: about 8 s."""
    pages = [opened("Train"), opened("Train")]
    for page in pages:
        describe_run(page, epochs=1000)
    for page in pages:
        page.evaluate("document.querySelector('#start').click()")
    wait(lambda: any(page.get_by_text("is busy with ").count() for page in pages))
    (folder,) = app.root.iterdir()
    assert RunDir(folder).recipe().stages[0].epochs == 1000
    for page in pages:  # and both show the running one
        page.wait_for_selector(".live .state.running")
        assert page.inner_text(".live h2") == "quick-1"


def test_a_run_survives_a_restart_of_the_app_and_the_open_page_shows_it(app: App, opened: Callable):
    """Starts the app twice and a training process: about 15 s."""
    page = opened("Train")
    describe_run(page, epochs=1000)
    press_start(page)
    page.wait_for_function("document.querySelector('.live dl')?.innerText.includes('loss')")
    app.kill()
    (run,) = map(RunDir, app.root.iterdir())
    app.start()
    assert run.status() == "running"
    shown = page.inner_text(".live dl")
    wait(lambda: page.inner_text(".live dl") != shown)
    other = opened("Train")
    assert wait(lambda: other.locator(".live h2").count() and other.inner_text(".live h2") == "quick-1") < within(2)
    other.get_by_role("button", name="Stop").click()
    for window in (page, other):
        wait(lambda window=window: status(window) == "stopped")


def test_zoom_and_hidden_lines_are_kept_while_curves_grow(app: App, opened: Callable):
    """Waits for two more points of a running run: about 10 s."""
    page = opened("Train")
    describe_run(page, epochs=1000)
    press_start(page)
    page.get_by_role("tab", name="Curves").click()
    page.wait_for_function("document.querySelector('#curves .plot')?.calcdata?.[0]?.length > 3")
    page.evaluate("document.querySelector('#curves .plot').mark = 'the same node'")
    box = page.locator("#curves .plot .draglayer .xy .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 120, steps=5)
    page.mouse.up()
    zoomed = page.evaluate("document.querySelector('#curves .plot').layout.xaxis.range")
    page.locator("#curves .legend button").first.click()
    page.wait_for_function("document.querySelector('#curves .plot').data[0].visible === 'legendonly'")
    sent = "document.querySelector('#curves .plot').data[0].x.bdata.length"  # hidden lines have no points
    page.wait_for_function(f"{sent} > {page.evaluate(sent)}")
    plot = page.evaluate(
        "(p => ({range: p.layout.xaxis.range, hidden: p.data[0].visible, mark: p.mark}))"
        "(document.querySelector('#curves .plot'))"
    )
    assert plot == {"range": zoomed, "hidden": "legendonly", "mark": "the same node"}
    page.get_by_role("button", name="Reset zoom").click()
    page.wait_for_function("document.querySelector('#curves .plot').layout.xaxis.range[1] > 0")
    assert page.evaluate("document.querySelector('#curves .plot').layout.xaxis.range") != zoomed


def test_time_and_memory_are_estimated_before_the_start(app: App, opened: Callable):
    """Waits for a trial: about 5 s."""
    page = opened("Train")
    page.get_by_text("measured just now").wait_for()
    assert re.search(r"About .* (min|s)\b.* images/s .* GiB of memory", page.inner_text("#price"))


@pytest.mark.process
def test_classifying_during_a_run_is_quick_and_does_not_affect_it(app: App, tmp_path: Path):
    """Trains the same short run twice, once while the page classifies: about 20 s."""
    checkpoint(app.root / "model")
    (tmp_path / "halves.png").write_bytes(saved(halves(), "PNG"))
    asked = partial(
        Client(app.url, verbose=False).predict, handle_file(tmp_path / "halves.png"), "model", api_name="/classify"
    )
    asked()  # the first request loads the model
    recipe = tiny(stage(epochs=20), train_images=400)
    run, took = Launcher(app.root, CPU).start(recipe, None), []
    while run.status() == "running":
        began = time.monotonic()
        asked()
        took.append(time.monotonic() - began)
        time.sleep(0.3)  # as a person would; otherwise the two would only compete for cores
    assert run.status() == "completed" and len(took) > 5
    assert statistics.median(took) < within(1)
    alone = RunDir.create(tmp_path / "alone", recipe)
    *_, _ = train(alone, device=CPU, data_dir=None)
    beside, by_itself = (read_tensors(folder / "model.safetensors")[1]["sha256"] for folder in (run.path, alone.path))
    assert beside == by_itself


@pytest.mark.process
def test_the_api_shows_a_running_run(app: App):
    """Waits for a training process to import torch: about 4 s."""
    client = Client(app.url, verbose=False)
    assert client.predict(api_name="/runs") == []
    run = Launcher(app.root, CPU).start(tiny(stage(epochs=500)), None)
    (shown,) = client.predict(api_name="/runs")
    assert (shown["name"], shown["status"], shown["part_done"]) == ("tiny-1", "running", 0)
    wait(lambda: client.predict("tiny-1", api_name="/run")["latest_epoch"])
    shown = client.predict("tiny-1", api_name="/run")
    assert shown["latest_epoch"]["epoch"] >= 0 and 0 < shown["part_done"] < 1 and shown["epochs_planned"] == 500
    with pytest.raises(AppError, match="there is no run 'tiny-2' here; the runs are: tiny-1"):
        client.predict("tiny-2", api_name="/run")
    Launcher(app.root, CPU).stop(run)
    wait(lambda: client.predict("tiny-1", api_name="/run")["status"] == "stopped")


def test_from_the_page_alone_transfer_is_changed_started_repeated_and_compared(app: App, opened: Callable):
    """Builds a recipe with early stopping, another augmentation and ResNet-18; trains it twice, briefly: about 40 s."""
    page = opened("Train")
    page.get_by_label("transfer", exact=True).check()
    page.get_by_label("advanced settings of the run").click()
    page.get_by_label("Architecture").select_option("resnet18")
    page.get_by_label("Initial weights").fill("scratch")
    page.get_by_label("Data", exact=True).select_option("synthetic")
    page.get_by_label("Train images").fill("100")
    page.get_by_label("Val images").fill("100")
    for number in (1, 2, 3):
        page.get_by_label(f"Image size of stage {number}").fill("32")
        page.get_by_label(f"Epochs of stage {number}").fill("2")
    page.get_by_label("advanced settings of stage 3").click()
    page.get_by_label("Early stopping of stage 3").fill("1")
    page.get_by_label("Augmentation of stage 3").select_option("trivial")
    press_start(page)
    page.wait_for_selector(".live .state.running")
    page.wait_for_function("document.querySelector('#live-chart .plot')?.calcdata?.[0]?.length > 0")
    page.wait_for_selector(".live .state.completed", timeout=300_000)
    run = RunDir(app.root / "transfer-1").recipe()
    assert (run.arch, run.stages[2].patience, run.stages[2].augmentation) == ("resnet18", 1, AUGMENTATIONS["trivial"])

    page.get_by_label("Like run").focus()
    page.wait_for_function("[...document.querySelectorAll('.like option')].some(one => one.value === 'transfer-1')")
    page.get_by_label("Like run").select_option("transfer-1")
    page.get_by_text("Like transfer-1").or_(page.get_by_text("Like run transfer-1")).first.wait_for()
    page.get_by_label("Learning rate of stage 3").fill("0.04")
    press_start(page)
    wait(lambda: (app.root / "transfer-2").exists())
    page.wait_for_selector(".live .state.completed", timeout=300_000)
    page.get_by_role("tab", name="Curves").click()
    page.get_by_label("show transfer-2").wait_for()
    for name in ("transfer-1", "transfer-2"):
        page.get_by_label(f"show {name}").check()
    page.locator(".differences").wait_for()
    rows = page.locator(".differences tbody tr").all_inner_texts()
    assert len(rows) == 1 and "0.02" in rows[0] and "0.04" in rows[0], rows
