import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_cifar import cost, locks
from resnet_cifar.config import HEAD
from resnet_cifar.device import identity
from resnet_cifar.estimate import Estimate, Estimates
from resnet_cifar.record import Records
from resnet_cifar.run_dir import RunDir
from resnet_cifar.train import train
from resnet_cifar.trial import try_out
from tests.conftest import CPU, recipe, stage


def known(estimates: Estimates, of) -> Estimate:
    deadline = time.monotonic() + 30
    while (estimate := estimates.of(of)) is None or estimate.bytes is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return estimate


def test_a_trial_tells_a_pace_and_memory():
    small, middle, large = (try_out(recipe(), stage(batch_size=size), CPU) for size in (8, 32, 4096))
    assert small.macs_per_second > 1e8
    assert small.bytes > 60_000 * 3 * 32 * 32
    per_image = (middle.bytes - small.bytes) / 24
    assert large.bytes == pytest.approx(small.bytes + (4096 - 8) * per_image)
    assert per_image > 1e5  # a picture's way leaves more behind than the picture


def test_what_is_frozen_keeps_nothing_of_a_picture():
    everything, head = (
        [try_out(recipe(), stage(batch_size=size, trainable=trainable), CPU).bytes for size in (8, 1024)]
        for trainable in (stage().trainable, HEAD)
    )
    assert head[1] - head[0] < 0.05 * (everything[1] - everything[0])


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
    ended = Records(tmp_path).get("run").said.epochs[-1]
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
    on_gpu = Estimates(Records(tmp_path), torch.device("cuda"))
    on_gpu._trial = lambda *_: None  # type: ignore[method-assign]
    assert on_gpu.of(recipe()) is None


def test_nothing_is_tried_out_beside_a_run(tmp_path: Path):
    with locks.locked(locks.device_file(identity(CPU)), "a run"):
        estimates = Estimates(Records(tmp_path), CPU)
        assert estimates.of(recipe()) is None
        assert not estimates._trials
