import gc
import os
import sys
import threading
import weakref

import pytest

from resnet_cifar.events import Progress
from resnet_cifar.system.background import give_way, in_background
from tests.builders import result


class Gigabytes:
    """What failed work held."""


def test_an_error_comes_through_and_lets_go_of_what_the_work_held():
    held: list[weakref.ref] = []

    def work() -> None:
        gigabytes = Gigabytes()
        held.append(weakref.ref(gigabytes))
        raise ValueError("it does not fit")

    gc.disable()
    try:
        with pytest.raises(ValueError, match="does not fit") as caught:
            result(in_background(work, lambda: Progress(phase="compile", done=0, total=1)))
        del caught
        assert held[0]() is None
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own")
def test_only_the_thread_that_gives_way_has_the_lowest_priority():
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before, found = priority(), []
    thread = threading.Thread(target=lambda: (give_way(), found.append(priority())))
    thread.start()
    thread.join()
    assert found == [19] and priority() == before
