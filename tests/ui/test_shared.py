"""Answers that all open pages share."""

import time

import pytest

from resnet_cifar.ui.shared import Shared


def test_an_answer_is_shared_unless_it_must_be_fresh(monkeypatch: pytest.MonkeyPatch):
    """What takes long to answer is asked more rarely."""
    clock, cpu, asked, takes = [100.0], [1.0], [0], [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "thread_time", lambda: cpu[0])

    def ask() -> int:
        cpu[0] += takes[0]
        asked[0] += 1
        return asked[0]

    for takes[0], least, most in ((0.0, 0.4, 0.6), (0.01, 2.9, 3.1), (1.0, 4.9, 5.1)):
        shared = Shared(ask)
        first = shared.get(fresh=False)
        clock[0] += least
        assert shared.get(fresh=False) == first
        assert shared.get() == first + 1
        clock[0] += most
        assert shared.get(fresh=False) == first + 2
