"""The learning-rate finder of the page: one range test at a time, in a thread, for whichever page asked for it."""

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import torch

from resnet_cifar.engine.range_test import RangeTest
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.report.rate_figure import rate_figure
from resnet_cifar.system.device import is_out_of_memory, prepare, release_memory, threads_of_a_run
from resnet_cifar.training.estimate import ONE_AT_A_TIME
from resnet_cifar.training.preflight import check_free
from resnet_cifar.training.rate_finder import find_rate, reason

_WAITS = 30.0  # seconds without a question after which a test ends: its page has been closed
_WORDS = {
    "download": "Downloading",
    "features": "Computing features",
    "range": "Training a few steps at ever higher rates",
    "trial": "Waiting for the measurement of this machine's speed",
}


class _Finding:
    """A range test at work, or its end."""

    def __init__(self) -> None:
        self.asked = time.monotonic()
        self.stopped = False
        self.answer: dict[str, Any] = {"words": "Starting", "part": 0.0}
        self.error: UserError | None = None

    @property
    def given_up(self) -> bool:
        """Whether it was stopped, or nobody waits for it any more."""
        return self.stopped or time.monotonic() - self.asked > _WAITS


class Finder:
    """Finds learning rates on a device. Safe to use from several threads."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._numbers = itertools.count()
        self._findings: dict[int, _Finding] = {}

    def begin(self, recipe: Recipe, stage: int, data_dir: Path | None) -> int:
        """Start a test and return its ticket. Raises Busy while the device trains."""
        check_free(self._device)
        ticket, finding = next(self._numbers), _Finding()
        for old in [number for number, one in list(self._findings.items()) if one.given_up]:
            self._findings.pop(old, None)
        self._findings[ticket] = finding
        work = (finding, recipe, stage, data_dir)
        threading.Thread(target=self._find, args=work, name="range test", daemon=True).start()
        return ticket

    def answer(self, ticket: int) -> dict[str, Any]:
        """Return how far a test is (`words`, `part`), or its result. Raises UserError if it failed or was stopped."""
        finding = self._findings.get(ticket)
        if finding is None:
            raise UserError("This test has ended; start it again.")
        finding.asked = time.monotonic()
        if finding.error is not None:
            raise finding.error
        return finding.answer

    def stop(self, ticket: int) -> None:
        """End a test before its next step."""
        if ticket in self._findings:
            self._findings[ticket].stopped = True

    def _find(self, finding: _Finding, recipe: Recipe, stage: int, data_dir: Path | None) -> None:
        try:
            if _acquired(ONE_AT_A_TIME, finding):  # a trial at the same time would measure too low a speed
                try:
                    found = self._found(finding, recipe, stage, data_dir)
                finally:
                    ONE_AT_A_TIME.release()
                    release_memory(self._device)
                if found is not None:
                    finding.answer = _result(found)
                    return
            finding.error = UserError("Stopped.")
        except UserError as error:
            finding.error = error
        except Exception as error:  # whatever it is: a page waits for an answer
            words = f"{type(error).__name__}: {error}".splitlines()[0]
            why = "there is not enough memory" if is_out_of_memory(error) else words
            finding.error = UserError(f"The test failed: {why}.")

    def _found(self, finding: _Finding, recipe: Recipe, stage: int, data_dir: Path | None) -> RangeTest | None:
        """Run the test; None if it was given up."""
        prepare(self._device)
        with threads_of_a_run():
            work = find_rate(recipe, stage, data_dir, self._device)
            while not finding.given_up:
                try:
                    progress = next(work)
                except StopIteration as end:
                    return end.value
                finding.answer = {"words": _WORDS[progress.phase], "part": progress.done / max(1, progress.total)}
            work.close()
        return None


def _acquired(lock: threading.Lock, finding: _Finding) -> bool:
    """Acquire a lock; False if the test was given up meanwhile."""
    while not lock.acquire(timeout=0.2):
        finding.answer = {"words": _WORDS["trial"], "part": 0.0}
        if finding.given_up:
            return False
    return True


def _result(found: RangeTest) -> dict[str, Any]:
    columns = zip(*((point.lr, point.loss, point.smoothed) for point in found.points), strict=True)
    lrs, losses, smoothed = map(list, columns)
    limit = (found.limit, "lowest" if found.diverges_at is None else "diverges")
    figure = rate_figure(lrs, losses, smoothed, found.suggestion, limit)
    return {"figure": figure.to_json(), "suggestion": f"{found.suggestion:g}", "where": reason(found)}
