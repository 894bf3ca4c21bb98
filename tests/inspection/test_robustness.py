"""Corruptions, accuracy on them, and the official files of CIFAR-100-C, as small ones of the same form."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_cifar.cli import main as cli
from resnet_cifar.data.dataset import official_splits
from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.errors import UserError
from resnet_cifar.inspection import cifar100c, robustness
from resnet_cifar.inspection.cifar100c import NAMES, Cifar100C
from resnet_cifar.inspection.corruptions import CORRUPTIONS, corrupt
from resnet_cifar.inspection.robustness import measure, stored
from resnet_cifar.model.checkpoint import load_checkpoint, save_checkpoint
from resnet_cifar.report.robustness import robustness_figures
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import CPU, checkpoint, recipe, result

SMALL = 100
"""Test images of the small CIFAR-100-C."""


@pytest.fixture(scope="module")
def splits() -> tuple[Split, Split]:
    return result(official_splits("synthetic", None))


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "_IMAGES_ON_A_CPU", 100)


@pytest.fixture
def tiny(tmp_path: Path, splits: tuple[Split, Split]) -> RunDir:
    """A network of random layers whose head compares features with each class's mean: 30 % are right."""
    run = RunDir.create(tmp_path / "run", recipe(precision="fp32"))
    checkpoint(run.path, stem="cifar", image_size=32)
    model, config = load_checkpoint(run.path, CPU)
    train = splits[0].take(torch.arange(1000))
    with torch.no_grad():
        features = model.features(Preprocess(32, CIFAR100, CPU)(train.images))
        means = torch.stack([features[train.labels == label].mean(0) for label in range(100)])
        model.fc.weight.copy_(2 * means)
        model.fc.bias.copy_(-means.square().sum(1))
    save_checkpoint(run.path, config, model.state_dict())
    return run


def accuracy(run: RunDir, images: torch.Tensor, labels: torch.Tensor) -> float:
    model, _ = load_checkpoint(run.path, CPU)
    with torch.no_grad():
        return (model(Preprocess(32, CIFAR100, CPU)(images)).argmax(1) == labels).double().mean().item()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_grows_with_its_strength(name: str, splits: tuple[Split, Split]):
    images = splits[1].images[:20]
    before = images.clone()
    corrupted = [corrupt(images, name, strength) for strength in CORRUPTIONS[name]]
    assert torch.equal(images, before)
    assert all(each.shape == images.shape and each.dtype == torch.uint8 for each in corrupted)
    distances = [(each.float() - images.float()).abs().mean().item() for each in corrupted]
    assert len(distances) == 5 and distances[0] > 0 and distances == sorted(set(distances))
    assert torch.equal(corrupt(images, name, CORRUPTIONS[name][2]), corrupted[2])


def test_each_corruption_does_what_its_name_says(splits: tuple[Split, Split]):
    images = (splits[1].images[:50] // 2) + 40  # far from black and white, where values are cut off
    pixels = images.float()
    noise = corrupt(images, "noise", 0.05).float() - pixels
    assert noise.std().item() == pytest.approx(0.05 * 255, rel=0.02) and abs(noise.mean().item()) < 0.1
    assert not torch.equal(corrupt(images, "noise", 0.05, seed=1), corrupt(images, "noise", 0.05))
    pale = corrupt(images, "contrast", 0.5).float()
    assert torch.allclose(pale.mean((1, 2, 3)), pixels.mean((1, 2, 3)), atol=0.5)
    assert pale.std((1, 2, 3)).mean().item() == pytest.approx(0.5 * pixels.std((1, 2, 3)).mean().item(), rel=0.02)
    assert torch.allclose(corrupt(images, "brightness", 0.1).float(), pixels + 25.5, atol=0.51)
    blurred = corrupt(images, "blur", 1.0).float()
    assert blurred.diff(dim=3).abs().mean() < 0.5 * pixels.diff(dim=3).abs().mean()
    assert torch.allclose(blurred.mean(), pixels.mean(), atol=1)
    point = torch.zeros(1, 3, 33, 33, dtype=torch.uint8)
    point[..., 16, 16] = 255
    profile = corrupt(point, "blur", 1.0)[0, 0, 16].float()
    assert (profile[17] / profile[16]).item() == pytest.approx(np.exp(-0.5), abs=0.03)  # a Gaussian
    assert (profile[18] / profile[16]).item() == pytest.approx(np.exp(-2), abs=0.03)


@pytest.mark.slow
def test_the_results_are_what_counting_gives(tiny: RunDir, monkeypatch: pytest.MonkeyPatch):
    """On a part of test that is class-balanced, and the same each time."""
    seen: list[Split] = []
    keep = robustness._corrupted
    monkeypatch.setattr(robustness, "_corrupted", lambda split: (seen.append(split), keep(split))[1])
    found, again = (result(measure(tiny, None, CPU, images=200)) for _ in range(2))
    assert found == again and found.images == 200 and set(found.top1) == set(CORRUPTIONS)
    part, other = seen
    assert torch.equal(part.images, other.images) and (torch.bincount(part.labels) == 2).all()
    assert found.clean == pytest.approx(accuracy(tiny, part.images, part.labels), abs=1e-9) and found.clean > 0.2
    for name, strengths in CORRUPTIONS.items():
        expected = [accuracy(tiny, corrupt(part.images, name, strength), part.labels) for strength in strengths]
        assert found.top1[name] == pytest.approx(expected, abs=1e-9)
    assert min(found.top1["noise"]) < found.clean - 0.1


def test_results_are_stored_until_the_weights_change(tiny: RunDir):
    assert stored(tiny) is None
    found = result(measure(tiny, None, CPU, images=100))
    assert stored(tiny) == found and found.cifar100c_mean_top1 is None
    file = tiny.path / "inspection" / "robustness.json"
    text = file.read_text()
    for damaged in (text[:-5], "[]", text.replace('"noise"', '"rain"'), text.replace("0.07", "0.08"), '{"top1": 3}'):
        file.write_text(damaged)
        assert stored(tiny) is None, damaged
    file.write_text(text)
    assert stored(tiny) == found
    checkpoint(tiny.path, seed=1, stem="cifar", image_size=32)
    assert stored(tiny) is None


def test_the_figures_show_the_numbers():
    top1 = {"noise": (0.7, 0.6, 0.5, 0.4, 0.3), "blur": (0.8, 0.7, 0.6, 0.5, 0.4)}
    figures = robustness_figures(0.83, top1)
    assert list(figures) == ["noise", "blur"]
    for name, figure in figures.items():
        assert list(figure.data[-1].y) == [0.83, *top1[name]]
        assert figure.layout.yaxis.range == (0, 1)  # the same for all


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-100-C with 100 test images: each image is filled with the number of its corruption and strength."""
    monkeypatch.setattr(cifar100c, "SPEC", replace(cifar100c.SPEC, test_images=SMALL))
    folder = tmp_path / "CIFAR-100-C"
    folder.mkdir()
    strengths = np.arange(5, dtype=np.uint8).repeat(SMALL)
    for number, name in enumerate(NAMES):
        np.save(folder / f"{name}.npy", (10 * number + strengths).repeat(32 * 32 * 3).reshape(500, 32, 32, 3))
    np.save(folder / "labels.npy", np.tile(np.arange(100), 5))
    return folder


def test_official_files_are_read_corruption_by_corruption_from_weak_to_strong(official: Path):
    found = list(Cifar100C.open(official).splits())
    assert len(found) == 75
    for place, split in enumerate(found):
        assert split.images.shape == (SMALL, 3, 32, 32) and split.labels.tolist() == list(range(100))
        assert (split.images == 10 * (place // 5) + place % 5).all()


@pytest.mark.slow
def test_the_mean_over_the_official_files(
    tiny: RunDir, official: Path, splits: tuple[Split, Split], capsys: pytest.CaptureFixture[str]
):
    """Snow of strength 2 is left clean and the rest black, so the mean is known."""
    clean = splits[1].take(torch.arange(SMALL))
    for name in NAMES:
        images = np.zeros((500, 32, 32, 3), np.uint8)
        if name == "snow":
            images[SMALL : 2 * SMALL] = clean.images.permute(0, 2, 3, 1).numpy()
        np.save(official / f"{name}.npy", images)
    np.save(official / "labels.npy", np.tile(clean.labels.numpy(), 5))
    assert cli.main(["--robustness", str(tiny.path), "--cifar100c", str(official), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    found = stored(tiny)
    right, black = accuracy(tiny, clean.images, clean.labels), 1 / SMALL
    assert right > 0.2
    assert found.cifar100c["snow"] == pytest.approx((black, right, black, black, black))
    assert found.cifar100c["fog"] == pytest.approx((black,) * 5)
    assert found.cifar100c_mean_top1 == pytest.approx((right + 74 * black) / 75)
    assert f"CIFAR-100-C: mean top-1 {100 * found.cifar100c_mean_top1:.2f} %" in said
    assert cli.main(["--robustness", str(tiny.path), "--device", "cpu"]) == 0  # keeps them
    assert stored(tiny) == found and "CIFAR-100-C: mean top-1" in capsys.readouterr().out


def remove(file: Path) -> None:
    file.unlink()


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def put(array: np.ndarray):
    return lambda file: np.save(file, array, allow_pickle=True)


def put_archive(file: Path) -> None:
    with file.open("wb") as target:
        np.savez(target, a=np.zeros(3), b=np.zeros(3))


def put_text(file: Path) -> None:
    file.write_text("not an array")


WRONG = {
    "missing": ("fog.npy", remove, "lacks fog.npy of CIFAR-100-C's 16 files; download"),
    "no labels": ("labels.npy", remove, "lacks labels.npy of"),
    "cut": ("fog.npy", shorten, "fog.npy is damaged or not a .npy file of numbers"),
    "text": ("fog.npy", put_text, "fog.npy is damaged or not a .npy file of numbers"),
    "objects": ("fog.npy", put(np.array([{}, None])), "fog.npy is damaged or not a .npy file of numbers"),
    "archive": ("fog.npy", put_archive, "fog.npy holds several arrays and should hold one"),
    "one strength": ("fog.npy", put(np.zeros((100, 32, 32, 3), np.uint8)), r"fog.npy holds \(100, 32, 32, 3\) uint8"),
    "floats": ("fog.npy", put(np.zeros((500, 32, 32, 3), np.float32)), "float32; CIFAR-100-C has .* uint8"),
    "CIFAR-10-C": ("labels.npy", put(np.tile(np.arange(10), 50)), "100 classes with 5 images each, and has 10;"),
    "negative": ("labels.npy", put(np.full(500, -1)), "is not CIFAR-100-C's"),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_that_are_wrong_get_a_sentence(official: Path, case: str):
    name, damage, says = WRONG[case]
    damage(official / name)
    with pytest.raises(UserError, match=says):
        Cifar100C.open(official)


def test_wrong_files_are_refused_before_anything_is_computed(tiny: RunDir, official: Path, tmp_path: Path, capsys):
    (official / "fog.npy").unlink()
    (official / "snow.npy").unlink()
    with pytest.raises(UserError, match="lacks snow.npy and 1 more of"):
        next(measure(tiny, None, CPU, official=official))
    assert cli.main(["--robustness", str(tiny.path), "--cifar100c", str(tmp_path / "no")]) == 2
    assert "there is no folder" in capsys.readouterr().err and stored(tiny) is None


def test_nothing_but_the_official_files_is_called_cifar_100_c(tiny: RunDir, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--robustness", str(tiny.path), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert said.count("CIFAR-100-C") == 1 and "these corruptions are not those of CIFAR-100-C" in said
    assert json.loads((tiny.path / "inspection" / "robustness.json").read_text())["cifar100c"] is None
