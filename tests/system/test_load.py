"""How busy the cores are, measured while a child process keeps one of them busy."""

import os
import time

import pytest
import torch

from resnet_cifar.system import device, load
from tests.builders import start

_SPIN = "print(flush=True)\nwhile True: pass"


@pytest.mark.process
def test_a_busy_core_is_noticed():
    """Waits for two measurements; other programs may keep cores busy too."""
    child = start("-c", _SPIN)
    assert child.stdout is not None
    child.stdout.readline()
    core = sorted(os.sched_getaffinity(0))[-1]
    os.sched_setaffinity(child.pid, {core})
    time.sleep(0.1)
    assert 0.9 <= load.busy_cores() <= load.cores()


def test_where_nothing_tells_of_single_cores_the_average_counts(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(load, "_STAT", tmp_path / "nothing")
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 9.0, 9.0))
    assert load.busy_cores() == 0.5


@pytest.mark.parametrize(("busy", "threads"), [(0.0, 4), (0.4, 4), (1.2, 3), (3.9, 1), (4.0, 1)])
def test_a_thread_for_each_free_core(busy: float, threads: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(load, "cores", lambda: 4)
    assert load.free_threads(busy) == threads


def test_threads_follow_the_load_unless_the_environment_says_how_many(monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(device, "cores", lambda: 4)
    monkeypatch.setattr(load, "cores", lambda: 4)
    monkeypatch.setattr(device, "busy_cores", lambda: 2.2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert device.use_free_cores() == "1 thread, as OMP_NUM_THREADS says"
    monkeypatch.delenv("OMP_NUM_THREADS")
    try:
        assert device.use_free_cores() == "2 threads: other programs use 2.2 of 4 cores"
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(device, "busy_cores", lambda: 0.1)
        assert device.use_free_cores() == "4 threads"
    finally:
        torch.set_num_threads(before)
