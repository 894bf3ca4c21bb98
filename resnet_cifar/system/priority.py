"""Long computations of the page's process wait while it answers requests.

A low priority is not enough: two threads that share a physical core slow each other down, whatever their priorities.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.overrides import TorchFunctionMode

_LINGER = 0.03  # seconds; an upload, the request that uses it and its answer follow each other as quickly
_PATIENCE = 2.0  # seconds of waiting, after which it is the computation's turn,
_TURN = 0.2  # for as many seconds, beside whatever is answered


class Requests:
    """The requests that are being answered."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open = 0
        self._ended = -_LINGER

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Let computations wait inside the block."""
        with self._changed:
            self._open += 1
        try:
            yield
        finally:
            with self._changed:
                self._open -= 1
                self._ended = time.monotonic()
                self._changed.notify_all()

    def wait(self, seconds: float) -> float:
        """Wait until none was being answered for a moment, or for `seconds`; returns how long this took."""
        began = now = time.monotonic()
        with self._changed:
            while (left := began + seconds - now) > 0 and (self._open or now - self._ended < _LINGER):
                self._changed.wait(left if self._open else _LINGER)
                now = time.monotonic()
        return now - began


REQUESTS = Requests()


class _Patient(TorchFunctionMode):
    """Pauses a thread before each of torch's functions. It makes progress however many requests there are."""

    def __init__(self) -> None:
        super().__init__()
        self._waited = 0.0
        self._turn_ends = 0.0

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, once it is the thread's turn."""
        if time.monotonic() >= self._turn_ends:
            self._waited += REQUESTS.wait(_PATIENCE - self._waited)
            if self._waited >= _PATIENCE:
                self._waited, self._turn_ends = 0.0, time.monotonic() + _TURN
        return function(*args, **(kwargs or {}))


@contextmanager
def giving_way() -> Iterator[None]:
    """Let the calling thread compute when no request is answered, and with what all others leave of the cores.

    Its priority, and that of threads that it starts, is the lowest from then on. Only on Linux do threads have one.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
    with _Patient():
        yield
