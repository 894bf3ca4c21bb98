"""Imports of torch and gradio, which take seconds and make a million objects."""

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Within this context, make Ctrl-C end the process immediately, with exit code 130.

    For the import of torch, whose C++ code imports numpy and there loses a KeyboardInterrupt, or crashes because of it.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # Ctrl-C is ignored, or handled by a caller
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def uncollected() -> Iterator[None]:
    """Within this context, keep all objects: Python neither looks for garbage, nor ever again among what is there.

    Nearly all that an import makes lives as long as the process. To look through it again and again takes a third of
    an import's time, and at the end of the process as much once more.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
