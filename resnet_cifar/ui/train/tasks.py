"""Long work for the form, in threads: the page that began it asks how far it is, and may stop it."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from resnet_cifar.errors import UserError
from resnet_cifar.system.device import is_out_of_memory

_WAITS = 30.0  # seconds without a question after which a task ends: its page has been closed


class Task:
    """Work that has been begun, or its end."""

    def __init__(self) -> None:
        self.asked = time.monotonic()
        self.stopped = False
        self.answer: dict[str, Any] = {"words": "Starting", "part": 0.0}
        self.error: UserError | None = None

    @property
    def given_up(self) -> bool:
        """Whether it was stopped, or nobody waits for it any more."""
        return self.stopped or time.monotonic() - self.asked > _WAITS

    def tell(self, words: str, part: float = 0.0) -> None:
        """Say what is being done, and which part of it is done."""
        self.answer = {"words": words, "part": part}


Work = Callable[[Task], dict[str, Any] | None]
"""Returns the result; None if it was given up, which it must look for about every second."""


class Tasks:
    """Base of what does tasks: each has a ticket. Safe to use from several threads."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._numbers = itertools.count()
        self._tasks: dict[int, Task] = {}

    def _begin(self, work: Work) -> int:
        """Start work in a thread, and return its ticket."""
        ticket, task = next(self._numbers), Task()
        for old in [number for number, one in list(self._tasks.items()) if one.given_up]:
            self._tasks.pop(old, None)
        self._tasks[ticket] = task
        threading.Thread(target=self._run, args=(task, work), name=self._title, daemon=True).start()
        return ticket

    def answer(self, ticket: int) -> dict[str, Any]:
        """Return how far a task is (`words`, `part`), or its result. Raises UserError if it failed or stopped."""
        task = self._tasks.get(ticket)
        if task is None:
            raise UserError(f"This {self._title} has ended; start it again.")
        task.asked = time.monotonic()
        if task.error is not None:
            raise task.error
        return task.answer

    def stop(self, ticket: int) -> None:
        """End a task before its next step."""
        if ticket in self._tasks:
            self._tasks[ticket].stopped = True

    def _run(self, task: Task, work: Work) -> None:
        try:
            result = work(task)
            if result is not None:
                task.answer = result
            else:
                task.error = UserError("Stopped.")
        except UserError as error:
            task.error = error
        except Exception as error:  # whatever it is: a page waits for an answer
            words = f"{type(error).__name__}: {error}".splitlines()[0]
            why = "there is not enough memory" if is_out_of_memory(error) else words
            task.error = UserError(f"The {self._title} failed: {why}.")
