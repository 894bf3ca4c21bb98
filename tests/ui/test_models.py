"""Models of the page, called as plain functions."""

from pathlib import Path

import gradio as gr

from resnet_cifar.model import zero_gpu
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.rights import Rights
from tests.awkward import halves
from tests.builders import checkpoint


def test_where_zero_gpu_gives_none_and_for_a_webcam_the_cpu_answers(tmp_path: Path, monkeypatch, capsys):
    models = Models(tmp_path, Rights())
    expected = Classifier.load(checkpoint(tmp_path / "one"), "cpu").predict([halves()])[0].as_json()
    asked: list[float] = []

    def refused(_folder: Path, _version: float, images, top: int):
        asked.extend(image.width for image in images)
        raise gr.Error("quota exceeded")

    monkeypatch.setattr(zero_gpu, "predict", refused)
    monkeypatch.setattr(zero_gpu, "ON_ZERO_GPU", True)
    assert models.predict("one", [halves((900, 700))], live=True) and not asked
    assert models.predict("one", [halves()])[0].as_json() == expected
    assert asked == [32]  # no more than the network needs goes to the other process
    assert "quota exceeded" in capsys.readouterr().out
