import gc
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_cifar.errors import UserError
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import HEAD, Recipe
from resnet_cifar.runs import locks
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import choose_precision, identity
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.session import train
from resnet_cifar.training.trial import Trial, memory_needed, try_out
from tests.builders import CPU, known, recipe, stage, wait, within

TRY_OUT = "resnet_cifar.training.estimate.try_out"


@pytest.mark.slow
def test_a_trial_measures_speed_and_memory():
    small, middle, large = (try_out(recipe(), stage(batch_size=size), CPU) for size in (512, 1024, 4096))
    assert small.macs_per_second > 1e8
    assert small.bytes > 60_000 * 3 * 32 * 32
    per_image = (middle.bytes - small.bytes) / 512
    assert large.bytes == pytest.approx(small.bytes + (4096 - 512) * per_image)
    assert per_image > 4 * 3 * 32 * 32  # activations take more than the image itself


def test_a_trial_leaves_nothing_in_memory():
    """A page that is open for days runs many."""
    left = []
    for _ in range(2):
        try_out(recipe(), stage(), CPU, 1)
        gc.collect()
        left.append(sum(type(one) is torch.nn.Parameter for one in gc.get_objects()))
    assert left[0] == left[1]


def test_frozen_groups_save_no_activations():
    everything, head = (
        [try_out(recipe(), stage(batch_size=size, trainable=trainable, views=0), CPU).bytes for size in (8, 1024)]
        for trainable in (stage().trainable, HEAD)
    )
    assert head[1] - head[0] < 0.05 * (everything[1] - everything[0])


def test_cached_features_are_counted():
    few, many = (memory_needed(recipe(stage(trainable=HEAD, views=views)), CPU) for views in (1, 11))
    assert many - few == 10 * 100 * 64 * 4  # images, features, bytes


def test_a_first_run_is_estimated_by_a_trial_and_a_second_by_the_first(tmp_path: Path):
    small = recipe(stage(batch_size=32), train_images=400)
    estimates = Estimates(Records(tmp_path), CPU)
    assert estimates.of(small) is None  # the trial is pending
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


@pytest.mark.slow
def test_a_rough_estimate_uses_the_speed_of_another_image_size_and_runs_no_trial(tmp_path: Path):
    estimates = Estimates(Records(tmp_path), CPU)
    small, large = recipe(), recipe(stage(image_size=64))
    assert estimates.rough(small) is None and not estimates._trials
    exact = known(estimates, small).seconds
    assert estimates.rough(small) == pytest.approx(exact)
    assert estimates.rough(large) == pytest.approx(exact * cost.run_macs(large) / cost.run_macs(small))
    assert estimates.rough(recipe(stem="cifar")) is None and len(estimates._trials) == 1


def test_runs_of_another_network_or_precision_are_not_used(tmp_path: Path):
    run = RunDir.create(tmp_path / "run", recipe())
    *_, _ = train(run, device=CPU, data_dir=None)
    estimates = Estimates(Records(tmp_path), CPU)
    assert known(estimates, recipe()).earlier_run == "run"
    for other in (recipe(stem="cifar"), recipe(stage(image_size=48)), recipe(stage(trainable=("layer4", "fc")))):
        assert known(estimates, other).earlier_run is None
    fp32 = known(estimates, recipe(precision="fp32"))
    assert fp32.earlier_run is None or choose_precision("auto", CPU) == "fp32"


def test_no_trial_starts_while_a_run_uses_the_device(tmp_path: Path):
    with locks.locked(locks.device_file(identity(CPU)), "a run"):
        estimates = Estimates(Records(tmp_path), CPU)
        assert estimates.of(recipe()) is None
    assert known(estimates, recipe()).bytes


@pytest.mark.slow
def test_the_trials_of_an_expensive_recipe_end_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Four stages where a full step would take minutes: up to 6 s, instead of 15."""
    monkeypatch.setattr("resnet_cifar.training.estimate.TRIAL_SECONDS", 6.0)
    sizes = (512, 448, 384, 320)
    large = recipe(*(stage(image_size=size, batch_size=256) for size in sizes), arch="resnet50", stem="cifar")
    estimates, parts = Estimates(Records(tmp_path), CPU), []
    began = time.monotonic()
    while (estimate := estimates.of(large)) is None:
        parts.append(estimates.progress(large))
        time.sleep(0.2)
    assert time.monotonic() - began < within(6)
    assert estimate.bytes and estimate.bytes > 50e9
    assert parts == sorted(parts) and parts[-1] > 0.6  # its progress can be shown


@pytest.mark.slow
def test_a_short_trial_measures_the_same_speed():
    """The faster of two each, because other work on the machine can only slow one down."""
    small, large = recipe(arch="resnet18"), stage(image_size=64, batch_size=128)
    short, long = zip(*([try_out(small, large, CPU, limit) for limit in (2, 15)] for _ in range(2)), strict=True)
    one, other = (max(trial.macs_per_second for trial in trials) for trials in (short, long))
    assert 0.5 < one / other < 2 and len({trial.bytes for trial in (*short, *long)}) == 1


def test_a_failed_trial_is_reported_and_later_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(TRY_OUT, fails)
    estimates = Estimates(Records(tmp_path), CPU)
    for _ in range(2):  # reported for a while before it is repeated
        with pytest.raises(UserError, match="not enough memory"):
            known(estimates, recipe())
    monkeypatch.setattr(TRY_OUT, try_out)
    with pytest.raises(UserError, match="not enough memory"):
        estimates.of(recipe())
    monkeypatch.setattr("resnet_cifar.training.estimate._RETRY_AFTER", 0)
    assert known(estimates, recipe()).bytes


@pytest.mark.parametrize(
    "one,other",
    [
        (recipe(), recipe(data="cifar100")),
        (recipe(stage(trainable=HEAD)), recipe(stage(trainable=HEAD), train_images=1_000)),
        (recipe(stage(trainable=HEAD)), recipe(stage(trainable=HEAD), val_images=1_000)),
        (recipe(stage(epochs=1)), recipe(stage(epochs=2))),  # the best epoch's weights are kept beside the last ones
    ],
    ids=["data", "training images", "validation images", "epochs"],
)
def test_an_estimate_has_the_memory_of_its_own_recipe(one: Recipe, other: Recipe, tmp_path: Path):
    estimates = Estimates(Records(tmp_path), CPU)
    for asked in (one, other):
        assert known(estimates, asked).bytes == pytest.approx(memory_needed(asked, CPU), rel=1e-6)


@pytest.fixture
def blocked_trials(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], Callable[[], None]]:
    """Batch sizes of the trials that began, and a function that lets them finish."""
    begun: list[int] = []
    released = threading.Event()

    def waits(_recipe, stage, *_) -> Trial:
        begun.append(stage.batch_size)
        assert released.wait(30)
        return Trial(1e9, 1)

    monkeypatch.setattr(TRY_OUT, waits)
    return begun, released.set


def test_trials_of_several_pages_all_run(tmp_path: Path, blocked_trials):
    begun, release = blocked_trials
    estimates = Estimates(Records(tmp_path), CPU)
    first, second = recipe(stage(batch_size=8)), recipe(stage(batch_size=9))
    for asked in (first, second, first):  # the first page asks again while the second one's trial is queued
        assert estimates.of(asked) is None
    wait(lambda: begun == [8])
    release()
    wait(lambda: begun == [8, 9])


def test_a_queued_trial_that_no_page_waits_for_is_dropped(
    tmp_path: Path, blocked_trials, monkeypatch: pytest.MonkeyPatch
):
    begun, release = blocked_trials
    estimates = Estimates(Records(tmp_path), CPU)
    assert estimates.of(recipe(stage(batch_size=8))) is None
    wait(lambda: begun == [8])
    assert estimates.of(recipe(stage(batch_size=9))) is None
    monkeypatch.setattr("resnet_cifar.training.estimate._WAITS", 0)
    release()
    for thread in threading.enumerate():
        if thread.name == "trial":
            thread.join()
    assert begun == [8]


def test_cached_features_do_not_count_towards_the_training_speed(tmp_path: Path):
    head = stage(name="head", trainable=HEAD, augmentation=AUGMENTATIONS["standard"])
    estimates = Estimates(Records(tmp_path), CPU)
    assert known(estimates, recipe(head)).images_per_second is None
    both, alone = known(estimates, recipe(head, stage())), known(estimates, recipe(stage()))
    assert both.images_per_second == alone.images_per_second
    assert both.seconds > alone.seconds
