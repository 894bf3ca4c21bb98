import time
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_cifar.errors import UserError
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import HEAD
from resnet_cifar.runs import locks
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import choose_precision, identity
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.session import train
from resnet_cifar.training.trial import memory_needed, try_out
from tests.builders import CPU, known, recipe, stage, within


def test_a_trial_tells_a_pace_and_memory():
    small, middle, large = (try_out(recipe(), stage(batch_size=size), CPU) for size in (512, 1024, 4096))
    assert small.macs_per_second > 1e8
    assert small.bytes > 60_000 * 3 * 32 * 32
    per_image = (middle.bytes - small.bytes) / 512
    assert large.bytes == pytest.approx(small.bytes + (4096 - 512) * per_image)
    assert per_image > 4 * 3 * 32 * 32  # an image's way leaves more behind than the image


def test_what_is_frozen_keeps_nothing_of_an_image():
    everything, head = (
        [try_out(recipe(), stage(batch_size=size, trainable=trainable, views=0), CPU).bytes for size in (8, 1024)]
        for trainable in (stage().trainable, HEAD)
    )
    assert head[1] - head[0] < 0.05 * (everything[1] - everything[0])


def test_features_computed_once_are_counted():
    few, many = (memory_needed(recipe(stage(trainable=HEAD, views=views)), CPU) for views in (1, 11))
    assert many - few == 10 * 100 * 64 * 4  # images, features, bytes


def test_a_first_run_is_told_by_a_trial_and_a_second_by_the_first(tmp_path: Path):
    small = recipe(stage(batch_size=32), train_images=400)
    estimates = Estimates(Records(tmp_path), CPU)
    assert estimates.of(small) is None  # it is being tried out
    first = known(estimates, small)
    assert first.earlier_run is None and first.bytes
    run = RunDir.create(tmp_path / "run", small)
    *_, _ = train(run, device=CPU, data_dir=None)
    second = known(estimates, small)
    assert second.earlier_run == "run"
    ended = Records(tmp_path).get("run").events.epochs[-1]
    steps = cost.step_macs(small, small.stages[0]) * ended.images_per_second
    assert second.seconds == pytest.approx(cost.run_macs(small) / steps)
    twice = replace(small, stages=(replace(small.stages[0], epochs=4),))
    assert 1.3 < known(estimates, twice).seconds / second.seconds < 2


def test_another_network_or_device_is_no_measure(tmp_path: Path):
    run = RunDir.create(tmp_path / "run", recipe())
    *_, _ = train(run, device=CPU, data_dir=None)
    estimates = Estimates(Records(tmp_path), CPU)
    assert known(estimates, recipe()).earlier_run == "run"
    for other in (recipe(stem="cifar"), recipe(stage(image_size=48)), recipe(stage(trainable=("layer4", "fc")))):
        assert known(estimates, other).earlier_run is None
    fp32 = known(estimates, recipe(precision="fp32"))
    assert fp32.earlier_run is None or choose_precision("auto", CPU) == "fp32"


def test_nothing_is_tried_out_beside_a_run(tmp_path: Path):
    with locks.locked(locks.device_file(identity(CPU)), "a run"):
        estimates = Estimates(Records(tmp_path), CPU)
        assert estimates.of(recipe()) is None
    assert known(estimates, recipe()).bytes


def test_a_trial_is_short_whatever_is_asked_for():
    """Four steps of about half a second, of what would take minutes: a few seconds."""
    began = time.monotonic()
    trial = try_out(recipe(arch="resnet18", stem="cifar"), stage(image_size=512, batch_size=256), CPU)
    assert time.monotonic() - began < within(10)
    assert trial.bytes > 50e9


def test_a_trial_that_fails_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("resnet_cifar.training.estimate.try_out", fails)
    estimates = Estimates(Records(tmp_path), CPU)
    with pytest.raises(UserError, match="takes more memory than there is"):
        known(estimates, recipe())


def test_cached_features_do_not_count_as_training(tmp_path: Path):
    head = stage(name="head", trainable=HEAD, augmentation=AUGMENTATIONS["standard"])
    estimates = Estimates(Records(tmp_path), CPU)
    assert known(estimates, recipe(head)).images_per_second is None
    both, alone = known(estimates, recipe(head, stage())), known(estimates, recipe(stage()))
    assert both.images_per_second == alone.images_per_second
    assert both.seconds > alone.seconds
