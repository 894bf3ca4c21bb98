"""Runs that end with an error: the best weights are kept, and a sentence says why."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from resnet_cifar import events
from resnet_cifar.engine import loop, step
from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe


def finish(run: RunDir) -> list[events.Event]:
    return list(train(run, device=CPU, data_dir=None))


def test_a_loss_that_is_not_finite_fails_the_run_and_keeps_the_best(new_run: Callable[..., RunDir]):
    run = new_run(recipe(precision="fp32"))
    original = step._backward
    calls = 0

    def poisoned(training, batch):
        nonlocal calls
        calls += 1
        return original(training, replace(batch, inputs=batch.inputs * (float("nan") if calls == 11 else 1.0)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "_backward", poisoned)
        said = finish(run)
    assert isinstance(said[-1], events.RunFailed) and not said[-1].user_error
    assert "stage 'everything', epoch 2, step 4" in said[-1].reason
    assert run.status() == "failed"
    load_checkpoint(run.path, CPU)  # the first epoch's, whole and finite


def test_an_error_of_ours_ends_the_run_too(new_run: Callable[..., RunDir], monkeypatch, capsys):
    run = new_run(recipe())
    monkeypatch.setattr(loop, "_train_epoch", lambda *_: 1 / 0)
    said = finish(run)
    assert said[-1] == events.RunFailed(reason="ZeroDivisionError: division by zero", user_error=False)
    assert "Traceback" in capsys.readouterr().err
    assert run.status() == "failed"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        MemoryError(),
        RuntimeError("GET was unable to find an engine to execute this computation"),
    ],
)
def test_out_of_memory_says_what_to_try(new_run: Callable[..., RunDir], monkeypatch, error: Exception):
    def no_room(*_: object) -> None:
        raise error

    run = new_run(recipe())
    monkeypatch.setattr(step, "_backward", no_room)
    last = finish(run)[-1]
    assert isinstance(last, events.RunFailed) and last.user_error
    assert "out of memory in stage 'everything' at batch size 16 and 32 px; end other" in last.reason
    assert "--batch-size 8" in last.reason
