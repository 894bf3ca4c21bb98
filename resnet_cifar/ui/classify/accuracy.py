"""Accuracy of a checkpoint, as its folder records it: on test, or on val while the run is not complete."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from resnet_cifar.errors import UserError
from resnet_cifar.report.text import percent
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.results import read_results
from resnet_cifar.runs.run_dir import RunDir

_BARELY = 0.1


@dataclass(frozen=True)
class Accuracy:
    """Top-1 of a model; None if nothing is known."""

    top1: float | None = None
    split: str = "test"
    """Images that were classified: test or val."""
    data: str = ""
    """Name of the data set, if the folder says so."""
    of_class: Mapping[str, float] = field(default_factory=dict)
    """Top-1 on the test images of each class."""

    @property
    def barely_trained(self) -> bool:
        """Whether the model is hardly better than guessing, or nothing is known of it."""
        return self.top1 is None or self.top1 < _BARELY

    def text(self) -> str:
        """Return it in a few words."""
        return "accuracy unknown" if self.top1 is None else f"{percent(self.top1)} on {self.split}"


def accuracy_of(folder: Path) -> Accuracy:
    """Read the accuracy from a folder's results or, if it has none, from its metrics."""
    run = RunDir(folder)
    return _read(folder, *(_stamp(file) for file in (run.eval_file, run.metrics_file, run.recipe_file)))


@lru_cache(maxsize=1024)
def _read(folder: Path, *_stamps: tuple[int, int]) -> Accuracy:
    """Read the files; the stamps are part of the cache's key."""
    run = RunDir(folder)
    data = best = results = None
    with suppress(UserError):
        data = run.recipe().data
    with suppress(UserError):
        results = read_results(run)
    if results is not None and math.isfinite(results.top1):
        known = {name: top1 for name, top1 in results.per_class_top1.items() if math.isfinite(top1)}
        return Accuracy(results.top1, "test", data or "", known)
    with suppress(UserError):
        best = Record(run).read().best()
    return Accuracy(best[1] if best else None, "val", data or "")


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
