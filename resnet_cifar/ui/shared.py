"""An answer that all open pages share, so that it costs next to nothing however often they ask."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_SECONDS = 0.5  # for which an answer is shared, or longer:
_REST = 300  # times as long as it took, so that all of them together cost next to nothing


class Shared(Generic[T]):
    """Remembers what a function answered last."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._answer: T
        self._again = 0.0
        """When to ask again, by the monotonic clock."""

    def get(self, fresh: bool = True) -> T:
        """Return the answer; one that was given just now will do unless it must be `fresh`."""
        begun = time.monotonic()
        if fresh or begun >= self._again:
            self._answer = self._ask()
            self._again = begun + max(_SECONDS, _REST * (time.monotonic() - begun))
        return self._answer
