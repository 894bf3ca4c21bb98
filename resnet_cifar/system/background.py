"""Blocking work, such as a download, in a thread: its caller can report progress and react to a stop request."""

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

from resnet_cifar.events import Progress

T = TypeVar("T")

_THREAD_NAME = "background work"


def is_at_work() -> bool:
    """Return whether a thread is still working, for example after its caller stopped waiting."""
    return any(thread.name == _THREAD_NAME for thread in threading.enumerate())


def at_once(work: Generator[Progress, None, T]) -> T:
    """Run a generator of progress to its end and return its result, ignoring the progress."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def in_background(work: Callable[[], T], progress: Callable[[], Progress]) -> Generator[Progress, None, T]:
    """Run `work` in a thread; yield its progress five times a second and return its result.

    A caller that stops iterating no longer waits, but the thread runs on. Errors of `work` are raised here.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=_THREAD_NAME, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
        yield progress()
    if errors:
        raise errors.pop()  # pop: otherwise list, frame and traceback would form a cycle that keeps tensors alive
    return results[0]
