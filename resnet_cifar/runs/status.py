"""Where a run stands, by its record: what the page and programs are told of it."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from resnet_cifar.events import Metrics, RunCompleted, RunFailed, RunStopped
from resnet_cifar.runs.record import Record, val_top1
from resnet_cifar.runs.run_dir import Status


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a run stands. Accuracies are fractions; stages and epochs count from 1 here, as people do."""

    name: str
    recipe: str
    status: Status
    stage: int
    stages: int
    stage_name: str
    epoch: int
    """Within the stage."""
    epochs: int
    """Of the stage."""
    epochs_done: int
    """Of the whole run."""
    epochs_planned: int
    phase: str | None
    """What is being done other than training: download, features, compile, evaluate or test."""
    part_done: float
    seconds: float
    """Spent so far."""
    seconds_left: float | None
    loss: float | None
    lr: float | None
    images_per_second: float | None
    memory: int | None
    """Bytes at their peak, on the device where it trains."""
    val_top1: float | None
    best_val_top1: float | None
    test: Metrics | None
    reason: str | None
    """Why it failed."""
    updated: float
    """When it last said something, in seconds of the clock."""

    def as_json(self) -> dict[str, Any]:
        """The state as programs get it."""
        return dataclasses.asdict(self)


def state(record: Record) -> State:
    """Where a run stands by its record, which is read on first."""
    with record.lock:
        return _state(record)


def _state(record: Record) -> State:
    status = record.run.status()  # before reading on: what ends a run is written before its lock is freed
    said, recipe = record.read().said, record.recipe
    index = said.stages[-1].stage if said.stages else 0
    stage, done = recipe.stages[index], record.epochs_done(index)
    step = said.steps[-1] if said.steps else None
    best, last = record.best(), said.last
    ended = isinstance(last, RunCompleted | RunFailed | RunStopped)  # while running: before it was resumed
    return State(
        name=record.run.name,
        recipe=recipe.name,
        status=status,
        stage=index + 1,
        stages=len(recipe.stages),
        stage_name=stage.name,
        epoch=min(done + 1, stage.epochs) if status == "running" else done,
        epochs=stage.epochs,
        epochs_done=len(said.epochs),
        epochs_planned=sum(stage.epochs for stage in recipe.stages),
        phase=said.progress.phase if said.progress and said.progress.phase != "train" else None,
        part_done=record.part_done(),
        seconds=_seconds(record),
        seconds_left=_seconds_left(record) if status == "running" and not ended else None,
        loss=step.loss if step else None,
        lr=step.lr if step else None,
        images_per_second=step.images_per_second if step else None,
        memory=step.memory if step else None,
        val_top1=val_top1(said.epochs[-1]) if said.epochs else None,
        best_val_top1=best[1] if best else None,
        test=last.test if isinstance(last, RunCompleted) else None,
        reason=last.reason if isinstance(last, RunFailed) and status != "running" else None,
        updated=said.time,
    )


def _seconds(record: Record) -> float:
    said = record.said
    if isinstance(said.last, RunCompleted) and said.last.seconds is not None:
        return said.last.seconds
    return said.seconds + max(0.0, said.time - said.begun_at)


def _seconds_left(record: Record) -> float | None:
    """By how fast the process at work has been so far; None before that can be told."""
    said = record.said
    if said.mark is None:
        return None
    time, part = said.mark
    now = record.part_done()
    if said.time - time < 1 or now - part < 0.002:
        return None
    return (said.time - time) * (1 - now) / (now - part)
