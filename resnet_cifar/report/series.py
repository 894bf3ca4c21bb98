"""The numbers that curves are drawn from: where along a run its events stand, and all of them as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from resnet_cifar.events import EpochEnded, StepLogged
from resnet_cifar.runs.record import Record

By = Literal["step", "epoch"]

_COLUMNS = (
    *("stage", "epoch", "step", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5"),
    *("ema_val_loss", "ema_val_top1", "ema_val_top5", "images_per_second"),
)


class Along:
    """Where on the x axis a run's events stand: steps, or epochs, since its beginning."""

    def __init__(self, record: Record, by: By) -> None:
        self._record = record
        self._by = by
        self._steps = {stage.stage: stage.steps for stage in record.said.stages}
        self._starts: dict[int, int] = {}
        start = 0
        for stage in record.said.stages:
            self._starts[stage.stage] = start
            start += self._length(stage.stage, record.epochs_of(stage.stage))

    def at(self, event: StepLogged | EpochEnded) -> int:
        """After which step, or in which epoch."""
        start = self._starts[event.stage]
        if self._by == "epoch":
            return start + event.epoch + 1
        within = event.step + 1 if isinstance(event, StepLogged) else self._steps[event.stage]
        return start + self._length(event.stage, event.epoch) + within

    def bands(self) -> Iterator[tuple[str, int, int]]:
        """Each stage's name, and from where to where it went so far."""
        said = self._record.said
        ends = [self.at(said.steps[-1])] if said.steps and self._by == "step" else []
        ends += [self.at(said.epochs[-1])] if said.epochs else []
        borders = [*self._starts.values(), max(ends, default=0)]
        for stage, start, end in zip(said.stages, borders[:-1], borders[1:], strict=True):
            yield stage.name, start, end

    def _length(self, stage: int, epochs: int) -> int:
        return epochs * (self._steps[stage] if self._by == "step" else 1)


def as_csv(records: Sequence[Record]) -> str:
    """What the curves are drawn from, a line for each report within an epoch and for each epoch."""
    out = io.StringIO()
    writer = csv.DictWriter(out, ("run", *_COLUMNS))
    writer.writeheader()
    for record in records:
        for row in _rows(record):
            writer.writerow({"run": record.run.name, **row})
    return out.getvalue()


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    """Stages and epochs count from 1, steps are those since the run began."""
    along = Along(record, "step")
    logged: list[StepLogged | EpochEnded] = [*record.said.steps, *record.said.epochs]
    logged.sort(key=lambda event: (event.stage, event.epoch))
    for event in logged:
        row: dict[str, Any] = {
            "stage": record.recipe.stages[event.stage].name,
            "epoch": event.epoch + 1,
            "lr": event.lr,
        }
        row |= {"step": along.at(event), "images_per_second": event.images_per_second}
        if isinstance(event, StepLogged):
            yield row | {"train_loss": event.loss}
            continue
        row |= {"train_loss": event.train_loss, "train_top1": event.train_top1}
        for name in ("val", "ema_val"):
            if metrics := getattr(event, name):
                row |= {f"{name}_loss": metrics.loss, f"{name}_top1": metrics.top1, f"{name}_top5": metrics.top5}
        yield row
