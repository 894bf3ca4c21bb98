"""Waiting for work that cannot be interrupted, a download above all, without being deaf meanwhile."""

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

from resnet_cifar.events import Progress

T = TypeVar("T")

_NAME = "work in the background"


def is_at_work() -> bool:
    """Whether there is work that nobody waits for any more."""
    return any(thread.name == _NAME for thread in threading.enumerate())


def at_once(work: Generator[Progress, None, T]) -> T:
    """Wait for work of that kind, where nobody wants to hear of its progress."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def in_background(work: Callable[[], T], progress: Callable[[], Progress]) -> Generator[Progress, None, T]:
    """Do `work` in a thread and tell of its progress meanwhile, so that whoever pulls can stop waiting for it."""
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=_NAME, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
        yield progress()
    if errors:
        raise errors.pop()  # or the list, its frame and the error would keep each other, and what they hold, alive
    return results[0]
