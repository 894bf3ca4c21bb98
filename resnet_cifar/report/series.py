"""Curves as numbers: the x position of each event of a run, and all values as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from resnet_cifar.events import EpochEnded, StepLogged
from resnet_cifar.runs.record import Record

By = Literal["step", "epoch"]

POINTS = 1000
"""Maximum points of a line; a screen cannot show more."""

_COLUMNS = (
    *("stage", "epoch", "step", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5"),
    *("ema_val_loss", "ema_val_top1", "ema_val_top5", "images_per_second"),
)


class XAxis:
    """Position of each event on the x axis: steps or epochs since the run began, over all stages."""

    def __init__(self, record: Record, by: By) -> None:
        self._record = record
        self._by = by
        self._steps = {stage.stage: stage.steps for stage in record.events.stages}
        self._starts: dict[int, int] = {}
        start = 0
        for stage in record.events.stages:
            self._starts[stage.stage] = start
            start += self._length(stage.stage, record.epochs_of(stage.stage))

    def position(self, event: StepLogged | EpochEnded) -> int:
        """Return the position of an event."""
        start = self._starts[event.stage]
        if self._by == "epoch":
            return start + event.epoch + 1
        within = event.step + 1 if isinstance(event, StepLogged) else self._steps[event.stage]
        return start + self._length(event.stage, event.epoch) + within

    def stages(self) -> Iterator[tuple[str, int, int]]:
        """Yield each stage's name and the positions at which it begins and ends so far."""
        so_far = self._record.events
        ends = [self.position(so_far.steps[-1])] if so_far.steps and self._by == "step" else []
        ends += [self.position(so_far.epochs[-1])] if so_far.epochs else []
        borders = [*self._starts.values(), max(ends, default=0)]
        for stage, start, end in zip(so_far.stages, borders[:-1], borders[1:], strict=True):
            yield stage.name, start, end

    def _length(self, stage: int, epochs: int) -> int:
        return epochs * (self._steps[stage] if self._by == "step" else 1)


def thin(x: np.ndarray, y: np.ndarray, limit: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a line to at most `limit` points: the minimum and maximum of each of many ranges, and both ends."""
    if len(x) <= limit:
        return x, y
    edges = np.linspace(0, len(x), limit // 2, dtype=int)
    keep = {0, len(x) - 1}
    for start, stop in pairwise(edges):
        keep |= {start + int(y[start:stop].argmin()), start + int(y[start:stop].argmax())}
    kept = np.array(sorted(keep))
    return x[kept], y[kept]


def smooth(y: np.ndarray, weight: float) -> np.ndarray:
    """Compute an exponential moving average without bias towards its start (Kingma and Ba 2015, section 3)."""
    out, average = np.empty_like(y), 0.0
    for index, value in enumerate(y):
        average = weight * average + (1 - weight) * value
        out[index] = average / (1 - weight ** (index + 1))
    return out


def as_csv(records: Sequence[Record]) -> str:
    """Write all curves as CSV: one row for each StepLogged and each EpochEnded event."""
    out = io.StringIO()
    writer = csv.DictWriter(out, ("run", *_COLUMNS))
    writer.writeheader()
    for record in records:
        for row in _rows(record):
            writer.writerow({"run": record.run.name, **row})
    return out.getvalue()


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run. Epochs count from 1; steps are counted from the start of the run."""
    axis = XAxis(record, "step")
    logged: list[StepLogged | EpochEnded] = [*record.events.steps, *record.events.epochs]
    logged.sort(key=lambda event: (event.stage, event.epoch))
    for event in logged:
        row: dict[str, Any] = {
            "stage": record.recipe.stages[event.stage].name,
            "epoch": event.epoch + 1,
            "lr": event.lr,
        }
        row |= {"step": axis.position(event), "images_per_second": event.images_per_second}
        if isinstance(event, StepLogged):
            yield row | {"train_loss": event.loss}
            continue
        row |= {"train_loss": event.train_loss, "train_top1": event.train_top1}
        for name in ("val", "ema_val"):
            if metrics := getattr(event, name):
                row |= {f"{name}_loss": metrics.loss, f"{name}_top1": metrics.top1, f"{name}_top5": metrics.top5}
        yield row
