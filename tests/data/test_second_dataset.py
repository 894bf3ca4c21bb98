import json

import pytest
from PIL import Image

from resnet_cifar.events import RunCompleted
from resnet_cifar.model.checkpoint import read_config
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import HEAD
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.report.text import metrics_line
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe, stage
from tests.data.shades import SPEC


def test_another_data_set_is_an_entry_and_a_module(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Three classes of 16 px flow from the spec through training, tests, checkpoint and answers."""
    monkeypatch.setitem(DATASETS, "shades", SPEC)
    stages = (
        stage(name="head", trainable=HEAD, epochs=1),
        stage(epochs=2, augmentation=AUGMENTATIONS["strong"], ema_decay=0.9),
    )
    run = RunDir.create(tmp_path / "shades", recipe(*stages, data="shades", train_images=200, val_images=60))
    *_, last = train(run, device=CPU, data_dir=None)
    assert isinstance(last, RunCompleted) and last.coarse_top1 is None and last.test.top5 == 1
    assert last.test.top1 > 0.5  # a third by chance
    assert "superclass" not in metrics_line("test", last.test, last.coarse_top1)
    assert read_config(run.path).labels == SPEC.labels
    assert list(json.loads(run.eval_file.read_text())["per_class_top1"]) == list(SPEC.labels)
    (light,) = Classifier.load(run.path, "cpu").predict([Image.new("RGB", (50, 50), (210, 210, 210))])
    assert set(light.probabilities) == set(SPEC.labels) and light.superclass is None
