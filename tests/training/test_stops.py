"""A run that is asked to stop saves and ends soon, whatever it is doing; then, or after a kill, it goes on."""

import itertools
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest

from resnet_cifar import events
from resnet_cifar.data import cifar100
from resnet_cifar.errors import UserError
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training import stopwatch
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe, staged_recipe, wait, within
from tests.data.conftest import Stalled, serve  # noqa: F401
from tests.forked import fork, train_run
from tests.training.same import assert_same_run, finish


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["features", "train", "evaluate", "test"])
def test_a_stop_is_heeded_in_every_phase_and_nothing_is_lost(uninterrupted, new_run, phase: str):
    run = new_run(staged_recipe(train_images=200), phase)
    said, asked = [], 0.0
    for event in train(run, device=CPU, data_dir=None):
        said.append(event)
        if isinstance(event, events.Progress) and event.phase == phase and not asked:
            run.stop_file.touch()
            asked = time.monotonic()
    assert said[-1] == events.RunStopped(by="stop file")
    assert time.monotonic() - asked < within(2)
    assert said[-2].phase == phase
    assert run.status() == "stopped" and not run.stop_file.exists()
    rest = finish(run)
    assert rest[0].step > 0 if phase in ("train", "evaluate") else rest[0].stage == (0 if phase == "features" else 3)
    assert isinstance(rest[-1], events.RunCompleted)
    assert_same_run(run, uninterrupted)


def test_a_stop_is_heeded_while_a_download_stalls(serve, new_run, tmp_path, monkeypatch):  # noqa: F811
    serve(Stalled)
    monkeypatch.setattr(cifar100, "download", partial(cifar100.download, tmp_path / "data"))
    run = new_run(recipe(data="cifar100"))
    asked = 0.0
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, events.Progress) and not asked:
            run.stop_file.touch()
            asked = time.monotonic()
    assert event == events.RunStopped(by="stop file")
    assert time.monotonic() - asked < within(2)
    assert run.status() == "stopped"


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_training_saves_and_ends(uninterrupted, new_run, number: signal.Signals):
    run = new_run(staged_recipe(train_images=200), number.name)
    child = fork(train_run, run.path)
    wait(lambda: isinstance(run.last_event(), events.StepLogged))
    os.kill(child.pid or 0, number)
    asked = time.monotonic()
    child.join()
    assert child.exitcode == 0 and time.monotonic() - asked < within(3)  # 2 to be there, and 1 for Python to end
    assert run.last_event() == events.RunStopped(by=number.name)
    finish(run)
    assert_same_run(run, uninterrupted)


def test_times_add_up_over_a_stop(new_run: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch):
    seconds = itertools.count()
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))  # the machine may stall
    run = new_run(recipe())
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, events.StepLogged) and event.step == 5:
            run.stop_file.touch()
            assert event.images_per_second > 0
    time.sleep(0.3)
    said = finish(run)
    first = next(event for event in said if isinstance(event, events.EpochEnded))
    second = [event for event in said if isinstance(event, events.EpochEnded)][1]
    assert first.seconds > second.seconds / 4  # a single step of seven was left, but all of them count
    assert first.images_per_second < 4 * second.images_per_second


def test_a_stop_file_that_cannot_be_removed_ends_in_a_sentence(new_run: Callable[..., RunDir]):
    """As on a disk that has become read-only."""
    run = new_run(recipe())
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, events.StepLogged) and not run.stop_file.exists():
            run.stop_file.mkdir()
    assert event == events.RunStopped(by="stop file") and run.status() == "stopped"
    with pytest.raises(UserError, match="cannot remove .*stop, which asks the run to stop"):
        next(train(run, device=CPU, data_dir=None))


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [events.RunStarted, events.StepLogged])
def test_a_run_that_was_killed_before_it_saved_a_step_begins_again(new_run: Callable[..., RunDir], killed_at: type):
    run = new_run(recipe())
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, killed_at):
            break
    with open(run.metrics_file, "a") as metrics:
        metrics.write('{"event": "EpochEn')
    assert run.status() == "interrupted" and run.last_file.exists() is (killed_at is events.StepLogged)
    said = finish(run)
    assert isinstance(said[0], events.RunStarted if killed_at is events.RunStarted else events.RunResumed)
    assert isinstance(said[-1], events.RunCompleted)
    assert next((e.epoch, e.step) for e, _ in run.history() if isinstance(e, events.StepLogged)) == (0, 2)
    assert len([e for e, _ in run.history() if isinstance(e, events.RunStarted)]) == 1
