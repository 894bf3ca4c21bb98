import json
import os
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnet_cifar.cli import main as cli
from resnet_cifar.data.dataset import official_splits
from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.errors import UserError
from resnet_cifar.hub import catalog
from resnet_cifar.hub.catalog import SHIPPED, checkpoints_in, default_checkpoint, unusable_in
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.recipe.classes import COARSE, FINE, FINE_TO_COARSE
from tests.awkward import halves, saved
from tests.builders import CPU, checkpoint, result, within


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "model")


def test_an_answer_is_what_evaluation_would_give(folder: Path):
    """Two ways to the same numbers: a test image as a file, and as a row of the split."""
    _, test = result(official_splits("synthetic", None))
    images = test.images[:8]
    classifier = Classifier.load(folder, "cpu")
    answers = classifier.predict([Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images])
    with torch.no_grad():
        shares = classifier._model(Preprocess(64, CIFAR100, CPU)(images)).softmax(1)
    for answer, row in zip(answers, shares, strict=True):
        assert answer.label == FINE[int(row.argmax())]
        assert list(answer.probabilities.values()) == pytest.approx(row.topk(5).values.tolist(), abs=1e-6)
        assert answer.superclass == COARSE[FINE_TO_COARSE[int(row.argmax())]]


def test_what_is_shown_is_what_the_network_saw(folder: Path):
    seen = Classifier.load(folder, "cpu").predict([halves((300, 100))])[0].seen
    assert seen.size == (64, 64)
    above, below = seen.getpixel((32, 10)), seen.getpixel((32, 54))
    assert max(abs(a - b) for a, b in zip(above + below, (220, 20, 20, 20, 160, 40), strict=True)) <= 2


def test_one_at_a_time_or_all_at_once_is_the_same(folder: Path):
    classifier = Classifier.load(folder, "cpu")
    images = [halves(), halves((10, 90)), halves((90, 10))]
    for one, other in zip(classifier.predict(images), [classifier.predict([p])[0] for p in images], strict=True):
        assert one.label == other.label
        assert list(one.probabilities.values()) == pytest.approx(list(other.probabilities.values()), abs=1e-5)
    assert classifier.predict([]) == []


def test_other_labels_have_no_superclass(tmp_path: Path):
    folder = checkpoint(tmp_path / "other", labels=("yes", "no"))
    answer = Classifier.load(folder, "cpu").predict([halves()])[0]
    assert set(answer.probabilities) == {"yes", "no"} and answer.superclass is None
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_the_shipped_model_comes_first_and_then_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(catalog, "CHECKPOINTS", tmp_path)
    with pytest.raises(UserError, match="no checkpoint in .* yet; train one"):
        default_checkpoint()
    for age, name in enumerate(("newest", "older", "oldest")):
        file = checkpoint(tmp_path / name) / "model.safetensors"
        os.utime(file, (1e9 - age, 1e9 - age))
    (checkpoint(tmp_path / "half-written") / "config.json").unlink()
    assert [folder.name for folder in checkpoints_in(tmp_path)] == ["newest", "older", "oldest"]
    checkpoint(tmp_path / SHIPPED)
    assert default_checkpoint().name == SHIPPED


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def put(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def change(**fields):
    def rewrite(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return rewrite


UNUSABLE = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing."),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json is missing."),
    "cut": (cut, "model.safetensors is truncated"),
    "empty": (put("model.safetensors", b""), "model.safetensors is truncated"),
    "pickle": (put("model.safetensors", b"\x80\x02}q\x00." * 99), "is truncated or not a safetensors file"),
    "no json": (put("config.json", b"{"), "config.json does not describe a model of this project"),
    "a list": (put("config.json", b"[]"), "config.json does not describe a model of this project"),
    "no text": (put("config.json", b"\xff\xfe"), "config.json does not describe a model of this project"),
    "architecture": (change(arch="vgg16"), "arch is 'vgg16'; it must be one of resnet18"),
    "deeper": (change(arch="resnet18"), "and should be"),
    "stem": (change(stem="cifar"), "conv1.weight is 8x3x7x7 and should be 8x3x3x3"),
    "labels": (change(label_names=["yes", "no"]), "fc.weight is 100x64 and should be 2x64"),
    "mean": (change(mean=[0.5, 0.5]), "mean is [0.5, 0.5], with 2 items; it must have 3"),
    "mean of nothing": (change(mean=[float("nan")] * 3), "mean[0] is nan; it must lie between"),
    "std": (change(std=[0, 0.2, 0.2]), "std is 0; it must lie between"),
    "no end": (change(image_size=float("inf")), "image_size is inf; it must be a whole number"),
    "large": (change(image_size=10**6), "image_size is 1000000; it must lie between 1 and 1024"),
    "no names": (change(label_names=list(range(100))), "label_names[0] is 0; it must be text"),
    "twice": (change(label_names=["fox"] * 100), "label_names names 'fox' twice"),
    "deep": (put("config.json", b"[" * 1000), "is nested more than 16 levels deep"),
    "side": (change(image_size=0), "image_size is 0; it must lie between 1 and 1024"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_told_with_the_reason(tmp_path: Path, name: str):
    good, bad = checkpoint(tmp_path / "good"), checkpoint(tmp_path / name)
    assert unusable_in(tmp_path) == {}
    harm, reason = UNUSABLE[name]
    harm(bad)
    assert checkpoints_in(tmp_path) == [good]
    ((named, told),) = unusable_in(tmp_path).items()
    assert named == name and reason in told and str(tmp_path) not in told
    with pytest.raises((UserError, RuntimeError)):  # the cheap look was right
        Classifier.load(bad, "cpu").predict([halves()])
    checkpoint(bad)
    assert set(checkpoints_in(tmp_path)) == {good, bad}  # mended


def test_a_run_that_has_kept_nothing_yet_is_nothing_to_tell_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text("{}")
    assert checkpoints_in(tmp_path) == [] and unusable_in(tmp_path) == {}
    assert unusable_in(tmp_path / "no-such") == {}
    monkeypatch.setattr(catalog, "CHECKPOINTS", tmp_path)
    (tmp_path / "run" / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="run can't be used: config.json is missing"):
        default_checkpoint()


def test_a_second_look_at_200_folders_takes_no_time(tmp_path: Path):
    for name in ("model.safetensors", "config.json"):
        file = checkpoint(tmp_path / "0") / name
        for number in range(1, 200):
            (tmp_path / str(number)).mkdir(exist_ok=True)
            os.link(file, tmp_path / str(number) / name)
    assert len(checkpoints_in(tmp_path)) == 200
    began = time.perf_counter()
    assert len(checkpoints_in(tmp_path)) == 200 and unusable_in(tmp_path) == {}
    assert time.perf_counter() - began < within(0.3)


def test_a_classifier_does_not_notice_what_becomes_of_its_folder(folder: Path):
    classifier = Classifier.load(folder, "cpu")
    before = classifier.predict([halves()])[0].probabilities
    checkpoint(folder, seed=1)
    (folder / "config.json").unlink()
    assert classifier.predict([halves()])[0].probabilities == before


def test_the_terminal_classifies_what_it_can(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(saved(halves(), "PNG"))
    bad.write_bytes(b"no image at all")
    arguments = ["--classify", str(good), str(bad), str(tmp_path / "none.png"), "--run", str(folder), "--device", "cpu"]
    expected = Classifier.load(folder, "cpu").predict([halves()])[0]
    assert cli.main(arguments) == 2
    told = capsys.readouterr()
    assert told.out.startswith(f"{good}: {expected.label} ({expected.superclass})\n")
    assert len(told.out.splitlines()) == 6
    assert "error: bad.png is not an image" in told.err and "error: there is no file" in told.err
    assert cli.main([*arguments, "--json"]) == 2
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["file"] == str(good) and answer["label"] == expected.label
    assert [c["label"] for c in answer["confidences"]] == list(expected.probabilities)


@pytest.mark.parametrize(("run", "says"), [("no-such", "is not a checkpoint"), ("", "is not a valid name")])
def test_a_checkpoint_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], run: str, says: str):
    (tmp_path / "x.png").write_bytes(saved(halves(), "PNG"))
    assert cli.main(["--classify", str(tmp_path / "x.png"), "--run", run]) == 2
    assert says in capsys.readouterr().err
