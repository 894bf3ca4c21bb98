"""A person's own images on the page: how they are read, called as plain functions, and one way through it all."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

from resnet_cifar.data import own_store
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.clock import Clock
from resnet_cifar.ui.page import max_megabytes
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train import own_images
from resnet_cifar.ui.train.form import form_of, recipe_of
from resnet_cifar.ui.train.own_images import Reader
from resnet_cifar.ui.train.setup import Setup
from tests.builders import CPU, wait
from tests.ui.conftest import free_port

COLOURS = {"Blue <b>sky": (60, 90, 220), "grass": (40, 160, 50)}


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of what was read. Nobody is asked for ImageNet weights."""
    monkeypatch.setattr(own_store, "UPLOADED", tmp_path / "kept")
    monkeypatch.setattr("resnet_cifar.training.own.imagenet_available", lambda _: False)
    return tmp_path / "kept"


def picture(colour: tuple[int, int, int], seed: int, side: int = 24) -> bytes:
    pixels = np.clip(np.random.default_rng(seed).normal(colour, 25, (side, side, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def colours(images: int = 40) -> dict[str, bytes]:
    """Images of two classes that a network learns at a glance, and a text."""
    files = {
        f"{label}/{number}.png": picture(colour, number)
        for label, colour in COLOURS.items()
        for number in range(images if label == "grass" else images // 2)
    }
    return files | {"notes.txt": b"mine"}


def packed(file: Path, contents: dict[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file


def ended(reader: Reader, ticket: int) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def done() -> bool:
        found.update(reader.answer(ticket))
        return "form" in found

    wait(done)
    return found


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    root = tmp_path / "runs"
    root.mkdir()
    launcher, records = Launcher(root, CPU), Records(root)
    with gr.Blocks():
        return Setup(launcher, records, Models(root, Rights()), Estimates(records, CPU), Rights(), Clock())


def test_an_upload_becomes_a_form_a_report_and_images_that_outlive_it(kept: Path, setup: Setup):
    reader = Reader(Rights())
    file = packed(Path(get_upload_folder()) / "own" / "colours.zip", colours())
    found = ended(reader, reader.begin({"path": str(file), "name": "colours.zip"}))
    file.unlink()
    recipe, faults = recipe_of(found["form"])
    assert not faults and recipe.own is not None and recipe.own.labels == tuple(COLOURS)
    assert Path(found["form"]["images"]).parent == kept and found["form"]["source"] == "your images colours.zip"
    report = found["report"]
    assert "60 images of 2 classes, as class/image" in report and report.count("<img") == 2
    assert "Blue &lt;b&gt;sky" in report and "<b>sky" not in report
    assert "1 file is not used" in report and "notes.txt: no image" in report
    assert "classes are unequal".capitalize() in report and "--part:0.500" in report
    assert reader.report(found["form"]["images"]) == report
    wanted = setup.requested(found["form"])
    assert not wanted.faults and wanted.data_dir == Path(found["form"]["images"])
    found["form"]["recipe"]["data"] = "synthetic"
    wanted = setup.requested(found["form"])
    assert not wanted.faults and wanted.data_dir is None and wanted.recipe.own is None


def test_without_images_there_is_nothing_to_start(setup: Setup, tmp_path: Path):
    before = form_of(RECIPES["quick"], images="")
    assert "drop a zip archive" in setup.requested(before).faults["images"]
    before = form_of(RECIPES["quick"])
    before["recipe"]["data"] = "own"
    assert list(setup.requested(before).faults) == ["data"]
    gone = form_of(RECIPES["quick"], images=str(tmp_path / "gone.safetensors"))
    with pytest.raises(UserError, match="no longer at"):
        Reader(Rights()).file(gone["images"])


def test_a_reading_can_be_stopped(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch):
    for name, content in colours(200).items():
        (tmp_path / "colours" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "colours" / name).write_bytes(content)
    reader = Reader(Rights())
    monkeypatch.setattr(own_images, "with_start", lambda recipe: (wait(lambda: reader._tasks[0].stopped), recipe)[1])
    ticket = reader.begin({"folder": str(tmp_path / "colours")})
    reader.stop(ticket)
    wait(lambda: reader._tasks[ticket].error is not None)
    with pytest.raises(UserError, match="Stopped"):
        reader.answer(ticket)
    assert not kept.exists()


def test_folders_are_for_pages_on_ones_own_machine(tmp_path: Path):
    space = Reader(Rights("This Space ...", owner="me"))
    with pytest.raises(UserError, match="cannot be named here"):
        space.begin({"folder": str(tmp_path)})
    with pytest.raises(UserError, match="cannot be named here"):
        space.file(str(tmp_path))
    for refused in ({"path": "/etc/passwd", "name": "a.zip"}, {"path": "http://example.org/a.zip", "name": "a"}):
        with pytest.raises(UserError, match="only uploaded"):
            Reader(Rights()).begin(refused)
    assert max_megabytes(Rights()) > max_megabytes(Rights("no")) == max_megabytes(Rights("no", owner="me")) == 50


def encrypted(file: Path) -> Path:
    content = bytearray(packed(file, {"cat/1.png": b"x"}).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the list of files
    file.write_bytes(content)
    return file


TRAPS = {
    "a bomb": (lambda: {f"cat/{n}.png": bytes(2**24) for n in range(4)}, "times its size, which no archive of images"),
    "leads out": (lambda: {"../cat/1.png": b"x"}, "a name that leads out of the archive"),
    "10,000 tiny files": (lambda: {f"cat/{n}.txt": b"x" for n in range(10_000)}, "no images among the 10,000 files"),
    "no images": (lambda: {"cat/readme.md": b"x"}, "there are no images among the 1 files; expected class/image"),
    "one image": (lambda: {"cat/1.png": picture((9, 9, 9), 1)} | colours(4), "class 'cat' has 1 usable train image"),
    "encrypted": (encrypted, "is encrypted; save it without a password"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_is_a_sentence_and_leaves_nothing(trap: str, tmp_path: Path, kept: Path):
    make, sentence = TRAPS[trap]
    file = tmp_path / "a.zip"
    encrypted(file) if make is encrypted else packed(file, make())
    reader = Reader(Rights())
    ticket = reader.begin({"folder": str(file)})
    wait(lambda: reader._tasks[ticket].error is not None)
    with pytest.raises(UserError, match=sentence):
        reader.answer(ticket)
    assert not kept.exists()


@pytest.fixture
def page(browser, tmp_path: Path) -> Iterator:
    """A page over a folder without runs, which it may train in."""
    from resnet_cifar.ui.page import serve

    app = serve(tmp_path / "runs", "127.0.0.1", free_port(), wait=False)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(app.local_url)
    yield page
    page.close()
    app.close()


@pytest.mark.process
def test_from_an_archive_to_a_card(page, tmp_path: Path):
    """Trains the head of the model that ships, in a process of its own, which imports torch: about 15 s."""
    archive = packed(tmp_path / "colours.zip", colours())
    page.get_by_role("tab", name="Train").click()
    page.get_by_label("your own images", exact=True).check()
    page.get_by_text("Your own images come first").wait_for()
    page.get_by_label("Zip archive of your images").set_input_files(archive)
    page.get_by_text("60 images of 2 classes, as class/image: 46 train, 6 val, 8 test").wait_for()
    assert page.locator(".own .classes img").count() == 2
    page.reload()  # the report is there again
    page.locator(".own h3", has_text="60 images of 2 classes").wait_for()

    page.get_by_role("button", name="remove stage 2").click()
    page.get_by_label("Epochs of stage 1").fill("20")
    page.get_by_label("Image size of stage 1").fill("64")
    page.get_by_label("Run name").fill("colours")
    page.get_by_role("button", name="Start training").click()
    page.locator(".live .state.completed").wait_for(timeout=300_000)

    page.get_by_role("button", name="Try it").click()
    image = {"name": "new.png", "mimeType": "image/png", "buffer": picture(COLOURS["grass"], 999, 80)}
    page.get_by_label("Images", exact=True).set_input_files([image])
    page.locator(".answer .what", has_text="grass").wait_for()
    page.get_by_role("tab", name="Inspect").click()
    page.get_by_role("button", name="Inspect this run").click()
    page.locator("#inspect .numbers", has_text="top-1").wait_for()
    assert "superclass" not in page.inner_text("#inspect .numbers")
    page.locator("#inspect").get_by_role("link", name="Confusion").click()
    page.wait_for_function("document.querySelector('#inspect .confusion .plot')?.data?.[0].y.length === 2")
    page.get_by_role("tab", name="Publish").click()
    page.get_by_label("Repo").fill("me/colours")
    chosen = page.get_by_label("Run", exact=True).locator("visible=true")
    wait(lambda: chosen.input_value() == "colours")  # the list is asked for when the tab is opened
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Model card").click()
    page.get_by_text("60 images of 2 classes, which are its owner's and are not published: 46 train").wait_for()
    assert "Learning Multiple Layers" not in page.inner_text("#publish-tab, body")

    page.get_by_role("tab", name="Train").click()
    page.get_by_label("Like run").wait_for()
    page.get_by_label("Like run").focus()
    page.get_by_label("Like run").select_option("colours")
    page.get_by_text("Like run colours").wait_for()
    page.locator(".own h3", has_text="60 images of 2 classes").wait_for()
    run = RunDir(tmp_path / "runs" / "colours")
    assert str(tmp_path) not in json.dumps(json.loads(run.recipe_file.read_text())["own"])
