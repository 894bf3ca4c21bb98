import gc
import weakref

import pytest

from resnet_cifar.events import Progress
from resnet_cifar.system.background import in_background
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
