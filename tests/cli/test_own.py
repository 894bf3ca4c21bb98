"""A person's own images in the terminal: from a folder to a model that knows their classes."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_cifar.cli import main as cli
from resnet_cifar.model.checkpoint import MODEL, read_config
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.recipe.presets import OWN_IMAGES
from resnet_cifar.runs.run_dir import RunDir

COLOURS = {"Blue sky": (60, 90, 220), "grass": (40, 160, 50)}


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Two classes of 40 images that a network learns at a glance."""
    root, random = tmp_path / "colours", np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (root / label).mkdir(parents=True)
        for number in range(40):
            pixels = np.clip(random.normal(colour, 25, (24, 24, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.png")
    (root / "notes.txt").write_text("mine")
    return root


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """The recipe `own` for a tiny network from random weights."""
    stages = tuple(
        replace(stage, epochs=8, image_size=32, batch_size=16, warmup_epochs=0.0) for stage in OWN_IMAGES.stages
    )
    file = tmp_path / "small.json"
    file.write_text(replace(OWN_IMAGES, stages=stages, arch="tiny", init="scratch").to_json())
    return file


def test_from_a_folder_to_answers(colours: Path, recipe_file: Path, main, capsys, tmp_path: Path):
    run = RunDir(tmp_path / "run")
    assert cli.main(["--train-only", f"--recipe={recipe_file}", f"--data={colours}", f"--run={run.path}"]) == 0
    said = capsys.readouterr().out
    assert "80 images of 2 classes, as class/image: 62 train, 8 val, 10 test" in said
    assert "1 file is not used:\n  notes.txt: no image: its name ends in .txt" in said
    config = read_config(run.path)
    assert (config.labels, config.side) == (tuple(COLOURS), 32)
    for label, colour in COLOURS.items():
        (answer,) = Classifier.load(run.path, "cpu").predict([Image.new("RGB", (300, 200), colour)])
        assert answer.label == label and answer.superclass is None
    for split, images in (("val", 8), ("test", 10)):
        assert cli.main([f"--evaluate={run.path}", f"--split={split}"]) == 0
        assert re.search(rf"{split} top-1 [\d.]+ %[^%]+%.*\non {images} images at 32 px", capsys.readouterr().out)
    assert str(tmp_path) not in json.dumps(json.loads(run.recipe_file.read_text())["own"])


def test_a_run_goes_on_only_with_its_own_images(colours: Path, recipe_file: Path, main, tmp_path: Path):
    run = RunDir(tmp_path / "run")
    archive = shutil.make_archive(str(tmp_path / "colours"), "zip", colours)
    assert main("--train-only", "--recipe", recipe_file, "--data", archive, "--run", run.path)[0] == 0
    lines = run.metrics_file.read_text().splitlines()

    def kill_before_its_first_save() -> None:
        run.metrics_file.write_text("\n".join(lines[:1]) + "\n")
        (run.path / MODEL).unlink()

    kill_before_its_first_save()
    assert main("--train-only", "--resume", run.path) == (0, "")
    kill_before_its_first_save()
    (colours / "grass" / "0.png").unlink()
    shutil.make_archive(str(tmp_path / "colours"), "zip", colours)
    code, error = main("--train-only", "--resume", run.path)
    assert code == 2 and "are not those that the run began with" in error


def test_images_that_can_not_be_learned_from(main, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.zip").write_bytes(b"no archive")
    for data, says in (
        (tmp_path / "gone", "is neither a folder or zip archive nor one of cifar100, synthetic"),
        (tmp_path / "empty", "there are no images among the 0 files; expected class/image"),
        (tmp_path / "a.zip", "a.zip is not a zip archive, or it is damaged"),
    ):
        code, error = main("--train-only", "--recipe", "quick", "--data", data, "--run", tmp_path / "run")
        assert code == 2 and says in error and error.count("\n") == 1
        assert not (tmp_path / "run").exists()
