"""State: a summary of a run, derived from its record, for the page and for programs."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from resnet_cifar.events import ENDS, Metrics, RunCompleted, RunFailed, StageEnded
from resnet_cifar.runs.record import Record, val_top1
from resnet_cifar.runs.run_dir import Status


@dataclass(frozen=True, kw_only=True)
class State:
    """Summary of a run. Accuracies are fractions; unlike in events, stages and epochs count from 1."""

    name: str
    recipe: str
    status: Status
    stage: int
    stages: int
    stage_name: str
    epoch: int
    """Epoch of the stage that the run is in, or ended in."""
    epochs: int
    """Planned epochs of the stage."""
    epochs_done: int
    """Completed epochs of the whole run."""
    epochs_planned: int
    phase: str | None
    """Current activity other than training: download, features, compile, evaluate or test."""
    part_done: float
    """Fraction of the run's total cost that is done."""
    seconds: float
    """Duration so far, over all processes that worked on the run."""
    seconds_left: float | None
    loss: float | None
    lr: float | None
    images_per_second: float | None
    """Speed now; of an ended run, the mean over its epochs, except those on cached features."""
    memory: int | None
    """Peak memory in bytes on the device that trains."""
    val_top1: float | None
    best_val_top1: float | None
    test: Metrics | None
    reason: str | None
    """Why the run failed."""
    updated: float
    """Unix time of the last event."""

    def as_json(self) -> dict[str, Any]:
        """Convert to a dict for programs, with the fields' names as keys."""
        return dataclasses.asdict(self)


def state(record: Record) -> State:
    """Read the record's new lines and summarise it."""
    with record.lock:
        return _state(record)


def _state(record: Record) -> State:
    status = record.run.status()  # first: a run writes its last event before it frees its lock
    so_far, recipe = record.read().events, record.recipe
    index = so_far.stages[-1].stage if so_far.stages else 0
    stage, done = recipe.stages[index], record.epochs_done(index)
    step = so_far.steps[-1] if so_far.steps else None
    best, last = record.best(), so_far.last
    ended = isinstance(last, ENDS)  # of a running run: it was just resumed
    return State(
        name=record.run.name,
        recipe=recipe.name,
        status=status,
        stage=index + 1,
        stages=len(recipe.stages),
        stage_name=stage.name,
        epoch=done if isinstance(last, StageEnded | RunCompleted) else min(done + 1, stage.epochs),
        epochs=stage.epochs,
        epochs_done=len(so_far.epochs),
        epochs_planned=sum(stage.epochs for stage in recipe.stages),
        phase=so_far.progress.phase if so_far.progress and so_far.progress.phase != "train" else None,
        part_done=record.part_done(),
        seconds=_seconds(record),
        seconds_left=_seconds_left(record) if status == "running" and not ended else None,
        loss=step.loss if step else None,
        lr=step.lr if step else None,
        images_per_second=step.images_per_second if step and status == "running" else _speed(record),
        memory=step.memory if step else None,
        val_top1=val_top1(so_far.epochs[-1]) if so_far.epochs else None,
        best_val_top1=best[1] if best else None,
        test=last.test if isinstance(last, RunCompleted) else None,
        reason=last.reason if isinstance(last, RunFailed) and status != "running" else None,
        updated=so_far.time,
    )


def _speed(record: Record) -> float | None:
    """Mean training speed over all epochs; before the end of the first, the speed that was logged last."""
    timed = [
        (record.recipe.stages[ended.stage].caches_features, ended.seconds, ended.images_per_second)
        for ended in record.events.epochs
        if ended.seconds and ended.images_per_second
    ]
    counted = [(seconds, speed) for cached, seconds, speed in timed if not cached or all(one[0] for one in timed)]
    if not counted:
        return record.events.steps[-1].images_per_second if record.events.steps else None
    return sum(seconds * speed for seconds, speed in counted) / sum(seconds for seconds, _ in counted)


def _seconds(record: Record) -> float:
    so_far = record.events
    if isinstance(so_far.last, RunCompleted) and so_far.last.seconds is not None:
        return so_far.last.seconds
    return so_far.seconds


def _seconds_left(record: Record) -> float | None:
    """Estimate from the speed of the newest process so far; None while there is too little to estimate from."""
    so_far = record.events
    if so_far.first_work is None:
        return None
    seconds, part = so_far.first_work
    worked, now = so_far.seconds - seconds, record.part_done()
    if worked < 1 or now - part < 0.002:
        return None
    return worked * (1 - now) / (now - part)
