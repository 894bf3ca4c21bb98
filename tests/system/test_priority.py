"""Computations that wait while requests are answered."""

import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from resnet_cifar.system import priority
from resnet_cifar.system.priority import REQUESTS, giving_way
from tests.builders import within


class _Counting(threading.Thread):
    """Calls torch again and again, giving way."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.count = 0
        self.stopped = False

    def run(self) -> None:
        with giving_way():
            while not self.stopped:
                torch.zeros(()).add(1)
                self.count += 1

    def grows(self, seconds: float) -> bool:
        """Whether it counts at all."""
        before, deadline = self.count, time.monotonic() + seconds
        while self.count == before and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.count > before


@pytest.fixture
def counting() -> Iterator[_Counting]:
    thread = _Counting()
    thread.start()
    yield thread
    thread.stopped = True
    thread.join()


def test_a_computation_waits_while_a_request_is_answered(counting: _Counting) -> None:
    assert counting.grows(within(5))
    with REQUESTS.answering(), REQUESTS.answering():
        assert not (counting.grows(0.3) and counting.grows(0.3))  # the first can be the call that was under way
    assert counting.grows(within(5))


def test_it_gets_a_turn_however_many_requests_there_are(counting: _Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority, "_PATIENCE", 0.2)
    with REQUESTS.answering():
        assert counting.grows(within(5))


def test_others_do_not_wait() -> None:
    with REQUESTS.answering():
        began = time.monotonic()
        torch.zeros(()).add(1)
        assert time.monotonic() - began < within(1)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own")
def test_only_the_thread_that_gives_way_has_the_lowest_priority() -> None:
    def own() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before, found = own(), []

    def work() -> None:
        with giving_way():
            found.append(own())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [19] and own() == before
