"""The model that ships with the project: whole, as good as its record says, and good enough for a first look."""

import json
import re
from pathlib import Path

import pytest

from resnet_cifar.hub.catalog import SHIPPED, default_checkpoint
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.paths import CHECKPOINTS
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.ui.classify.examples import EXAMPLES, UNKNOWN, example_image
from tests.builders import ROOT, app

FOLDER = CHECKPOINTS / SHIPPED


def test_it_is_what_answers_by_default_and_says_nothing_of_the_machine_that_made_it():
    assert default_checkpoint() == FOLDER
    record = Record(RunDir(FOLDER)).read()
    assert record.events.epochs and RunDir(FOLDER).status() == "completed"
    for name in ("recipe.json", "metrics.jsonl", "README.md", "config.json"):
        assert not re.search(r"/(home|root|work|tmp|Users)\b", (FOLDER / name).read_text())
    assert (FOLDER / "model.safetensors").stat().st_size < 45e6


def test_it_knows_the_examples():
    classifier = Classifier.load(FOLDER, "cpu")
    labels = {name: classifier.predict([example_image(name)])[0].label for name in EXAMPLES if name != UNKNOWN}
    assert labels == {name: name for name in labels}


@pytest.mark.slow
def test_its_test_result_is_what_evaluating_prints(cifar100_dir: Path):
    """Tests 10,000 images: about 25 s."""
    done = app("--evaluate", SHIPPED, "--data-dir", cifar100_dir)
    found = re.search(r"top-1 ([\d.]+) %", done.stdout)
    assert found, done.stderr
    told = json.loads((FOLDER / "eval.json").read_text())["top1"]
    assert float(found[1]) == pytest.approx(100 * told, abs=0.15)  # by the machine and its precision
    assert f"{100 * told:.2f} %" in (ROOT / "README.md").read_text()
