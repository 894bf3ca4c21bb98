"""An answer that all open pages share, so that it costs next to nothing however often they ask."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_SECONDS = 0.5, 5.0  # for which an answer is shared, at least and at most
_REST = 300  # times the CPU time that it took, so that all of them together cost next to nothing


class Shared(Generic[T]):
    """Remembers what a function answered last."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._answer: T
        self._again = 0.0
        """When to ask again, by the monotonic clock."""

    def get(self, fresh: bool = True) -> T:
        """Return the answer; one that was given just now will do unless it must be `fresh`."""
        if fresh or time.monotonic() >= self._again:
            least, most = _SECONDS
            begun = time.thread_time()
            self._answer = self._ask()
            took = time.thread_time() - begun
            self._again = time.monotonic() + min(most, max(least, _REST * took))
        return self._answer
