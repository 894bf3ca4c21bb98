"""Torch's threads while a run goes on, beside programs that come and go."""

from collections.abc import Iterator

import pytest
import torch

from resnet_cifar.events import EpochEnded
from resnet_cifar.system import load
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe, stage


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """How many of two cores other programs use; a test changes it."""
    busy, before = [0.0], torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(load, "cores", lambda: 2)
    monkeypatch.setattr(load.Load, "busy", lambda _: busy[0])
    yield busy
    torch.set_num_threads(before)


def test_a_run_has_a_thread_for_each_core_that_is_free_at_the_moment(new_run, busy: list[float]):
    seen = []
    for event in train(new_run(recipe(stage(epochs=3))), device=CPU, data_dir=None):
        if isinstance(event, EpochEnded):
            seen.append(torch.get_num_threads())
            busy[0] = (0.9, 0.1)[event.epoch % 2]
    assert seen == [2, 1, 2]


def test_it_keeps_the_number_that_the_environment_gives(new_run, busy: list[float], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    *_, _ = train(new_run(recipe()), device=CPU, data_dir=None)
    assert torch.get_num_threads() == before
