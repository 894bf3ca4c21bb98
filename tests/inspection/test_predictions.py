"""Predictions: computed, stored beside the weights, and missing as soon as they are not those of the weights."""

import shutil
from pathlib import Path

import pytest
import torch

from resnet_cifar.data.dataset import load
from resnet_cifar.engine.evaluate import summarise
from resnet_cifar.errors import UserError
from resnet_cifar.inspection.predictions import Predictions, compute, images, stored
from resnet_cifar.model.calibration import Calibration
from resnet_cifar.model.checkpoint import CONFIG, load_checkpoint
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import CPU, checkpoint, recipe, result


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = RunDir.create(tmp_path_factory.mktemp("runs") / "run", recipe())
    checkpoint(run.path, image_size=32, calibration=Calibration(1.5))
    return run


@pytest.fixture(scope="module")
def computed(original: RunDir) -> Predictions:
    """Predictions of a run on test, in bf16; they are stored."""
    return result(compute(original, "test", None, CPU, "bf16"))


@pytest.fixture
def run(original: RunDir, computed: Predictions, tmp_path: Path) -> RunDir:
    """A copy of the run."""
    return RunDir(Path(shutil.copytree(original.path, tmp_path / "run")))


def file(run: RunDir) -> Path:
    return run.path / "inspection" / "test.safetensors"


def test_what_is_stored_is_what_was_computed_and_belongs_to_the_images(run: RunDir):
    halves = file(run).stat().st_size
    file(run).write_text("damaged")
    computed = result(compute(run, "test", None, CPU, "fp32"))
    read = stored(run, "test")
    assert torch.equal(read.logits, computed.logits) and torch.equal(read.labels, computed.labels)
    assert read.spec == computed.spec and read.calibration.temperature == 1.5 and len(read) == 1000
    behind = images(run, "test", None)
    assert torch.equal(behind.labels, read.labels)
    model, _ = load_checkpoint(run.path, CPU)
    with torch.no_grad():
        assert torch.allclose(model(_prepared(behind.images[-3:])), read.logits[-3:], atol=1e-4)
    assert file(run).stat().st_size > 1.8 * halves


def _prepared(pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)))
    return (pixels / 255 - mean) / std


def test_logits_in_bfloat16_lose_nothing(run: RunDir, computed: Predictions):
    assert torch.equal(stored(run, "test").logits, computed.logits)


def test_val_is_what_the_recipe_holds_out(run: RunDir):
    computed = result(compute(run, "val", None, CPU))
    held_out = result(load(run.recipe(), None, CPU)).val
    assert torch.equal(computed.labels, held_out.labels) and len(computed) == 100
    assert torch.equal(images(run, "val", None).images, held_out.images)
    assert torch.equal(stored(run, "val").logits, computed.logits)
    assert len(stored(run, "test")) == 1000


def test_what_is_fresh_is_not_written_again(run: RunDir):
    """Another number of threads gives other bits, and the model that ships would differ from the one in git."""
    before = file(run).stat().st_mtime_ns
    result(compute(run, "test", None, CPU, "fp32"))
    assert file(run).stat().st_mtime_ns == before


def test_new_weights_and_another_image_size_make_them_stale(run: RunDir):
    assert stored(run, "test") is not None
    config = (run.path / CONFIG).read_text()
    (run.path / CONFIG).write_text(config.replace('"image_size": 32', '"image_size": 40'))
    assert stored(run, "test") is None
    (run.path / CONFIG).write_text(config)
    assert stored(run, "test") is not None
    checkpoint(run.path, seed=1, image_size=32)
    assert stored(run, "test") is None


def test_a_new_temperature_is_followed(run: RunDir):
    config = (run.path / CONFIG).read_text()
    (run.path / CONFIG).write_text(config.replace('"temperature": 1.5', '"temperature": 3.0'))
    warmer = stored(run, "test")
    assert warmer.calibration.temperature == 3.0
    assert torch.allclose(warmer.probabilities, (warmer.logits / 3).softmax(1))


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "text"])
def test_a_damaged_file_counts_as_missing(run: RunDir, damage: str):
    whole = file(run).read_bytes()
    flipped = whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:]
    file(run).write_bytes({"flipped": flipped, "truncated": whole[:-100], "empty": b"", "text": b"none"}[damage])
    assert stored(run, "test") is None


def test_weights_that_change_meanwhile_leave_nothing_behind(run: RunDir):
    file(run).unlink()
    work = compute(run, "test", None, CPU)
    next(work)
    checkpoint(run.path, seed=1, image_size=32)
    assert len(result(work)) == 1000
    assert not file(run).exists()


def test_a_folder_that_cannot_be_written_does_not_cost_the_result(run: RunDir):
    shutil.rmtree(file(run).parent)
    file(run).parent.write_text("in the way")
    assert len(result(compute(run, "test", None, CPU))) == 1000


def test_renaming_and_deleting_a_run_take_them_along(run: RunDir):
    renamed = run.rename("other")
    assert stored(renamed, "test") is not None and stored(run, "test") is None
    renamed.delete()
    assert not renamed.path.exists()


def test_a_summary_is_what_evaluating_gives(run: RunDir):
    read = stored(run, "test")
    assert read.summary() == summarise(read.logits, read.labels, read.spec, Calibration(1.5))
    assert read.reliability().ece == read.summary()["ece"]


def test_what_is_missing_is_said(run: RunDir, tmp_path: Path):
    without_val = RunDir.create(tmp_path / "other", recipe(val_images=0))
    checkpoint(without_val.path, image_size=32)
    assert stored(without_val, "val") is None
    with pytest.raises(UserError, match="'other' has no val images of synthetic"):
        images(without_val, "val", None)
    run.recipe_file.write_text(recipe(data="cifar100").to_json())
    with pytest.raises(UserError, match="there is no data folder"):
        images(run, "test", tmp_path / "nowhere")
    (run.path / "model.safetensors").unlink()
    assert stored(run, "test") is None
    with pytest.raises(UserError, match="no file"):
        result(compute(run, "test", None, CPU))
