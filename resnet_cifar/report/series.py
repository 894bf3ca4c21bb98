"""Curves as numbers: the x position of each event of a run, and all values as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from resnet_cifar.events import EpochEnded, StepLogged
from resnet_cifar.runs.record import Record

By = Literal["step", "epoch", "time"]

POINTS = 1000
"""Maximum points of a line; a screen cannot show more."""

_LONG = 2**17  # bytes of a record whose curves no longer change visibly with each event

_COLUMNS = (
    *("stage", "epoch", "step", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5"),
    *("ema_val_loss", "ema_val_top1", "ema_val_top5", "images_per_second"),
)


def visible_size(record: Record) -> int:
    """Return how much of a record its curves show, in bytes: it changes when they would look different.

    While a long run is at work, only every few hundredth part of it does that.
    """
    if record.size < _LONG or record.run.holder() is None:
        return record.size
    grain = 1 << record.size.bit_length() - 9  # a power of two, so that growing sizes seldom change it
    return record.size // grain * grain


class XAxis:
    """Position of each event on the x axis, over all stages: steps, epochs or seconds since the run began."""

    def __init__(self, record: Record, by: By) -> None:
        self._record = record
        self._by = by
        self._steps = {stage.stage: stage.steps for stage in record.events.stages}
        self._starts: dict[int, float] = {}
        start = 0
        for stage in record.events.stages:
            self._starts[stage.stage] = start
            start += self._length(stage.stage, record.epochs_of(stage.stage))
        if by == "time":
            self._starts = self._starts_in_time()

    def steps(self) -> list[float]:
        """Return the positions of all StepLogged events."""
        so_far = self._record.events
        return so_far.step_seconds if self._by == "time" else [self.position(step) for step in so_far.steps]

    def epochs(self) -> list[float]:
        """Return the positions of all EpochEnded events."""
        so_far = self._record.events
        return so_far.epoch_seconds if self._by == "time" else [self.position(ended) for ended in so_far.epochs]

    def position(self, event: StepLogged | EpochEnded) -> float:
        """Return the position of an event, in steps or epochs."""
        start = self._starts[event.stage]
        if self._by == "epoch":
            return start + event.epoch + 1
        # An epoch ends where its last step does, so its val point stands above the last train point.
        within = event.step + 1 if isinstance(event, StepLogged) else self._steps[event.stage]
        return start + self._length(event.stage, event.epoch) + within

    def stages(self) -> Iterator[tuple[str, float, float]]:
        """Yield each stage's name and the positions at which it begins and ends so far."""
        so_far = self._record.events
        ends = self.steps()[-1:] if self._by != "epoch" else []  # a step's epoch is the one it will be part of
        ends = [*ends, *self.epochs()[-1:]]
        borders = [*self._starts.values(), max(ends, default=0)]
        for stage, start, end in zip(so_far.stages, borders[:-1], borders[1:], strict=True):
            yield stage.name, start, end

    def _length(self, stage: int, epochs: int) -> int:
        return epochs * (self._steps[stage] if self._by == "step" else 1)

    def _starts_in_time(self) -> dict[int, float]:
        """A stage begins where the last epoch of the one before ended."""
        starts, end = {}, 0.0
        for stage in self._record.events.stages:
            starts[stage.stage] = end
            end = max((time for ended, time in self._timed() if ended.stage == stage.stage), default=end)
        return starts

    def _timed(self) -> Iterator[tuple[EpochEnded, float]]:
        so_far = self._record.events
        return zip(so_far.epochs, so_far.epoch_seconds, strict=True)


def thin(x: np.ndarray, y: np.ndarray, limit: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a line to at most `limit` points: the minimum and maximum of each of many ranges, and both ends."""
    if len(x) <= limit:
        return x, y
    ranges = limit // 2 - 1
    length = -(-len(y) // ranges)  # rounded up; the last range is filled with the last value
    table = np.pad(y, (0, ranges * length - len(y)), mode="edge").reshape(ranges, length)
    starts = length * np.arange(ranges)
    found = np.concatenate(([0], starts + table.argmin(1), starts + table.argmax(1), [len(y) - 1]))
    kept = np.unique(np.minimum(found, len(y) - 1))
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
    logged.sort(key=lambda event: (event.stage, event.epoch))  # stable: an epoch's end stays behind its steps
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
