"""Long work for the form, in threads: the page that began it asks how far it is, and may stop it."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from resnet_cifar.errors import UserError
from resnet_cifar.system.device import is_out_of_memory

_WAITS = 30.0  # seconds without a question after which an errand ends: its page has been closed


class Errand:
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


Work = Callable[[Errand], dict[str, Any] | None]
"""Returns the result; None if it was given up, which it must look for about every second."""


class Errands:
    """Base of what does errands: each has a ticket. Safe to use from several threads."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._numbers = itertools.count()
        self._errands: dict[int, Errand] = {}

    def _begin(self, work: Work) -> int:
        """Start work in a thread, and return its ticket."""
        ticket, errand = next(self._numbers), Errand()
        for old in [number for number, one in list(self._errands.items()) if one.given_up]:
            self._errands.pop(old, None)
        self._errands[ticket] = errand
        threading.Thread(target=self._run, args=(errand, work), name=self._title, daemon=True).start()
        return ticket

    def answer(self, ticket: int) -> dict[str, Any]:
        """Return how far an errand is (`words`, `part`), or its result. Raises UserError if it failed or stopped."""
        errand = self._errands.get(ticket)
        if errand is None:
            raise UserError(f"This {self._title} has ended; start it again.")
        errand.asked = time.monotonic()
        if errand.error is not None:
            raise errand.error
        return errand.answer

    def stop(self, ticket: int) -> None:
        """End an errand before its next step."""
        if ticket in self._errands:
            self._errands[ticket].stopped = True

    def _run(self, errand: Errand, work: Work) -> None:
        try:
            result = work(errand)
            if result is not None:
                errand.answer = result
            else:
                errand.error = UserError("Stopped.")
        except UserError as error:
            errand.error = error
        except Exception as error:  # whatever it is: a page waits for an answer
            words = f"{type(error).__name__}: {error}".splitlines()[0]
            why = "there is not enough memory" if is_out_of_memory(error) else words
            errand.error = UserError(f"The {self._title} failed: {why}.")
