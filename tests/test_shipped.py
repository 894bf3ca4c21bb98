"""The model that ships with the project: whole, as good as its record says, and good enough for a first look."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torchvision import transforms

from resnet_cifar.data.cifar100 import find
from resnet_cifar.hub.catalog import SHIPPED, default_checkpoint
from resnet_cifar.inspection.label_errors import verdicts
from resnet_cifar.inspection.predictions import images, precision_of, stored
from resnet_cifar.model.checkpoint import read_config
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.paths import CHECKPOINTS
from resnet_cifar.recipe.classes import FINE_TO_COARSE
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import runs_in
from resnet_cifar.ui.classify.examples import EXAMPLES, UNKNOWN, example_image
from tests.builders import CPU, ROOT

FOLDER = CHECKPOINTS / SHIPPED
RUN = RunDir(FOLDER)


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


def test_it_notices_the_cat_and_knows_the_other_examples():
    classifier = Classifier.load(FOLDER, "cpu")
    known = {name: classifier.predict([example_image(name)])[0].known for name in EXAMPLES}
    assert known == {name: name != UNKNOWN for name in EXAMPLES}
    assert (FOLDER / "unknown.safetensors").stat().st_size <= 3_000_000


def test_its_results_are_those_of_its_stored_predictions():
    """Counted with numpy alone. The same numbers stand in eval.json, on the card and in the README."""
    found = stored(RUN, "test")
    logits, labels, told = found.logits.double().numpy(), found.labels.numpy(), json.loads(RUN.eval_file.read_text())
    hits, every = logits.argmax(1) == labels, np.arange(len(labels))
    coarse = np.array(FINE_TO_COARSE)
    assert told["images"] == len(labels) == 10_000
    assert told["top1"] == hits.mean() and told["per_class_top1"]["wolf"] == hits[labels == 97].mean()
    own = logits[every, labels][:, None]
    # Logits of bf16 can be equal, and which of two equal ones is the fifth is left to torch.
    best, least = ((logits > own).sum(1) < 5).mean(), ((logits >= own).sum(1) <= 5).mean()
    assert best - 0.001 < least <= told["top5"] <= best
    assert told["coarse_top1"] == (coarse[logits.argmax(1)] == coarse[labels]).mean()
    assert told["loss"] == pytest.approx(-np.log(probabilities(logits)[every, labels]).mean(), rel=1e-5)
    calibration = read_config(FOLDER).calibration
    surprise = -np.log(probabilities(logits))
    confidence = probabilities(-(surprise**calibration.power) / calibration.temperature).max(1)
    bins = np.ceil(15 * confidence)
    gaps = [abs((confidence - hits)[bins == number].sum()) for number in range(1, 16)]
    assert told["ece"] == pytest.approx(sum(gaps) / len(labels), rel=1e-5) and told["ece"] < 0.02
    card, readme = (FOLDER / "README.md").read_text(), (ROOT / "README.md").read_text()
    for name in ("top1", "top5", "coarse_top1", "ece"):
        assert f"| {100 * told[name]:.2f} % |" in card
    assert f"**{100 * told['top1']:.2f} %**" in readme


def probabilities(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


@pytest.mark.slow
def test_its_stored_predictions_are_what_torchvision_computes(cifar100_dir: Path):
    """Checks and reads CIFAR-100, and predicts 200 images: about 6 s."""
    official = torchvision.datasets.CIFAR100(find(cifar100_dir), train=False)
    found, val = stored(RUN, "test"), stored(RUN, "val")
    assert found.labels.tolist() == official.targets
    assert all(official.targets[row] != verdict.guess for row, verdict in verdicts(found).items())
    assert torch.equal(val.labels, images(RUN, "val", cifar100_dir).labels) and len(val) == 2500
    network = torchvision.models.resnet34(num_classes=100).eval()
    network.load_state_dict(load_file(FOLDER / "model.safetensors"))
    config = json.loads((FOLDER / "config.json").read_text())
    normalize, resize = transforms.Normalize(config["mean"], config["std"]), transforms.Resize(128, antialias=True)
    transform = transforms.Compose([transforms.ToTensor(), normalize, resize])
    with torch.no_grad(), runs_in(CPU, precision_of(RUN, CPU))():
        logits = network(torch.stack([transform(official[row][0]) for row in range(200)])).float()
    difference = logits - found.logits[:200]  # of bf16, whose rounding depends on the order of sums
    assert difference.std() < 0.03 * logits.std()
    assert (logits.argmax(1) == found.predicted[:200]).double().mean() > 0.97
