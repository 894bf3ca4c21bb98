"""Blocking work, such as a download, in a thread: its caller can report progress and react to a stop request."""

import os
import sys
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


def give_way() -> None:
    """Give the calling thread, and the threads that it starts, what is left of the cores by all others.

    Linux only: elsewhere, threads of a process have no priorities of their own.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # at 10, answers took up to half as long again
