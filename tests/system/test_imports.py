import gc
import weakref

import pytest

from resnet_cifar.system.imports import uncollected


class Node:
    """Refers to itself, so that only a garbage collection can find that nobody else does."""

    def __init__(self) -> None:
        self.itself = self


def test_what_an_import_makes_is_kept_and_garbage_of_later_is_found():
    with pytest.raises(ImportError), uncollected():
        assert not gc.isenabled()
        made = weakref.ref(Node())
        raise ImportError
    later = weakref.ref(Node())
    gc.collect()
    assert gc.isenabled() and made() is not None and later() is None
