"""The learning-rate finder of the page: one range test at a time, in a thread, for whichever page asked for it."""

import threading
from pathlib import Path
from typing import Any

import torch

from resnet_cifar.engine.range_test import RangeTest
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.report.rate_figure import rate_figure
from resnet_cifar.system.device import prepare, release_memory, threads_of_a_run
from resnet_cifar.training.estimate import ONE_AT_A_TIME
from resnet_cifar.training.preflight import check_free
from resnet_cifar.training.rate_finder import find_rate, reason
from resnet_cifar.ui.train.tasks import Task, Tasks

_WORDS = {
    "download": "Downloading",
    "download from the Hub": "Downloading from the Hugging Face Hub",
    "read images": "Reading images",
    "features": "Computing features",
    "range": "Training a few steps at ever higher rates",
    "trial": "Waiting for the measurement of this machine's speed",
}


class Finder(Tasks):
    """Finds learning rates on a device. Safe to use from several threads."""

    def __init__(self, device: torch.device) -> None:
        super().__init__("test")
        self._device = device

    def begin(self, recipe: Recipe, stage: int, data_dir: Path | None) -> int:
        """Start a test and return its ticket. Raises Busy while the device trains."""
        check_free(self._device)
        return self._begin(lambda task: self._find(task, recipe, stage, data_dir))

    def _find(self, task: Task, recipe: Recipe, stage: int, data_dir: Path | None) -> dict[str, Any] | None:
        """Run the test; None if it was given up."""
        if not _acquired(ONE_AT_A_TIME, task):  # a trial at the same time would measure too low a speed
            return None
        try:
            found = self._found(task, recipe, stage, data_dir)
        finally:
            ONE_AT_A_TIME.release()
            release_memory(self._device)
        return None if found is None else _result(found)

    def _found(self, task: Task, recipe: Recipe, stage: int, data_dir: Path | None) -> RangeTest | None:
        prepare(self._device)
        with threads_of_a_run():
            work = find_rate(recipe, stage, data_dir, self._device)
            while not task.given_up:
                try:
                    progress = next(work)
                except StopIteration as end:
                    return end.value
                task.tell(_WORDS[progress.phase], progress.done / max(1, progress.total))
            work.close()
        return None


def _acquired(lock: threading.Lock, task: Task) -> bool:
    """Acquire a lock; False if the test was given up meanwhile."""
    while not lock.acquire(timeout=0.2):
        task.tell(_WORDS["trial"])
        if task.given_up:
            return False
    return True


def _result(found: RangeTest) -> dict[str, Any]:
    columns = zip(*((point.lr, point.loss, point.smoothed) for point in found.points), strict=True)
    lrs, losses, smoothed = map(list, columns)
    limit = (found.limit, "lowest" if found.diverges_at is None else "diverges")
    figure = rate_figure(lrs, losses, smoothed, found.suggestion, limit)
    return {"figure": figure.to_json(), "suggestion": f"{found.suggestion:g}", "where": reason(found)}
