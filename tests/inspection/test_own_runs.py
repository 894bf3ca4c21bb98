"""A run on a person's own images, inspected: nothing takes its classes for CIFAR-100's, and strangers see no image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_cifar.data.dataset import load
from resnet_cifar.data.own_images import read
from resnet_cifar.errors import UserError
from resnet_cifar.events import RunStarted
from resnet_cifar.inspection.label_errors import verdicts
from resnet_cifar.inspection.neighbours import Index
from resnet_cifar.inspection.predictions import compute, load_train
from resnet_cifar.inspection.predictions import images as images_of
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.own import learning
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.classify.notes import introduction
from resnet_cifar.ui.inspect.inspected import Inspected
from resnet_cifar.ui.inspect.views import by_name, confused, numbers
from resnet_cifar.ui.inspect.wrong import worst
from resnet_cifar.ui.rights import Rights
from tests.builders import CPU, checkpoint, recipe, result

CLASSES = ("bear", "tiger")
"""Both are also classes of CIFAR-100."""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run on 40 noisy images, 30 to learn from."""
    for number in range(40):
        file = tmp_path / "images" / CLASSES[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)
    own = result(read(tmp_path / "images", 32))
    run = RunDir.create(tmp_path / "runs" / "own", learning(recipe(), own))
    run.append(RunStarted(recipe="tiny", device="cpu", precision="fp32", data_dir=str(own.file), processes=1))
    checkpoint(run.path, labels=CLASSES)
    return run


def question(**more: object) -> dict[str, object]:
    return {"run": "own", "split": "test", **more}


def test_its_classes_are_its_own(run: RunDir):
    answered = result(compute(run, "test", None, CPU))
    assert answered.spec.labels == CLASSES and len(answered) == 6 and not verdicts(answered)
    assert [number["name"] for number in numbers(answered)][:3] == ["top-1", "top-5", "loss"]
    inspected = Inspected(Models(run.path.parent, Rights()))
    assert not confused(inspected, question(coarse=True))["coarse"]
    assert by_name(CLASSES) == [(0, "bear"), (1, "tiger")]
    answers = Classifier.load(run.path, "cpu").predict([Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")])
    assert {answer.superclass for answer in answers} == {None} and "<dt>its classes<" in introduction(CLASSES)


def test_neighbours_are_train_images_of_the_run(run: RunDir):
    index = result(Index.build(run, Path("/no/cifar100"), CPU))
    train = result(load_train(run, None))
    assert sorted(index.rows.tolist()) == list(range(len(train))) and torch.equal(train.labels, index.labels)
    features = Classifier.load(run.path, "cpu").features([Image.fromarray(train.images[4].permute(1, 2, 0).numpy())])
    assert index.search(features, 1)[1].item() == 4


def test_strangers_do_not_see_the_images(run: RunDir):
    result(compute(run, "test", None, CPU))
    assert len(images_of(run, "test", None)) == 6
    for rights, seen in ((Rights(), True), (Rights("no"), False)):
        shown = worst(Inspected(Models(run.path.parent, rights)), question())
        assert shown["tiles"] and all(bool(tile["image"]) is seen for tile in shown["tiles"])
        assert ("somebody's own" in shown["why_not"]) is not seen


def test_without_val_its_images_are_learned_from(run: RunDir):
    own = run.recipe()
    dataset = result(load(replace(own, val_images=0), run.data_dir(), CPU))
    assert own.own is not None and len(dataset.val) == 0
    assert len(dataset.train) == own.own.train_images + own.own.val_images
    with pytest.raises(UserError, match="val_images is 1, but your own images were split when they were read"):
        replace(own, val_images=1)
