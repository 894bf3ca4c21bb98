"""Record: everything a run has reported so far, read incrementally from `metrics.jsonl` as the file grows.

Lines that are torn, edited or from another recipe are skipped, whatever the file holds.
"""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from resnet_cifar import events
from resnet_cifar.decode import brief, is_plain
from resnet_cifar.errors import UserError
from resnet_cifar.events import EpochEnded, Event, Progress, StageStarted, StepLogged
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.schedule import steps_per_epoch
from resnet_cifar.runs.run_dir import LARGEST_METRICS, RunDir
from resnet_cifar.system import files

_CHECKED = 256  # bytes before the read position; if they changed, the file was truncated and written again

_OF_STAGE = StepLogged | EpochEnded | events.StageEnded


@dataclass
class _Events:
    """The events of a record, grouped by kind, and the times derived from them."""

    stages: list[StageStarted] = field(default_factory=list)
    """One per stage, in the order in which they started."""
    started: set[int] = field(default_factory=set)
    """Indices of these stages."""
    steps: list[StepLogged] = field(default_factory=list)
    epochs: list[EpochEnded] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    """For each of `steps`, the duration of the run until then, over all its processes; pauses do not count."""
    epoch_seconds: list[float] = field(default_factory=list)
    """The same for each of `epochs`."""
    progress: Progress | None = None
    """The last event, if it is a Progress."""
    start: events.RunStarted | events.RunResumed | None = None
    """First event of the newest process."""
    last: Event | None = None
    time: float = 0.0
    """Unix time of the last event."""
    seconds: float = 0.0
    """Duration of the run so far, over all its processes, without pauses. A clock that is set back adds nothing."""
    first_work: tuple[float, float] | None = None
    """`seconds` at the newest process's first training event, and the part of the run that was done by then."""


class Record:
    """The events of one run, read incrementally."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.recipe: Recipe = run.recipe()
        self.events = _Events()
        self.size = 0
        """Bytes read so far; it changes whenever the record does."""
        self._before = b""
        self.lock = threading.RLock()
        """Hold it across several reads of `events` that must be consistent with each other."""

    def read(self) -> "Record":
        """Read the lines that were added since the last call. Returns the record itself.

        Raises UserError if the file is there and cannot be read.
        """
        with self.lock:
            new = self._new()
            whole = new[: new.rfind(b"\n") + 1]  # the writer may still complete a torn last line
            if len(new) - len(whole) > events.LONGEST_LINE:
                whole = new  # no writer left that
            self.size += len(whole)
            self._before = (self._before + whole)[-_CHECKED:]
            for line in whole.splitlines():
                self._add_line(line)
        return self

    def _new(self) -> bytes:
        """Return what was added since the last call, or all if the file was truncated and written again."""
        file, before = self.run.metrics_file, self._before
        try:
            content = files.read_bytes(file, LARGEST_METRICS, self.size - len(before))
            if content.startswith(before):
                return content[len(before) :]
            self.events, self.size, self._before = _Events(), 0, b""
            return files.read_bytes(file, LARGEST_METRICS)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise files.cannot_read(file, error) from error

    def _add_line(self, line: bytes) -> None:
        try:
            event, time = events.from_json(line.decode(errors="replace"))
        except ValueError:
            return
        if isinstance(event, StageStarted | _OF_STAGE) and event.stage >= len(self.recipe.stages):
            return  # written for another recipe
        if isinstance(event, StepLogged | EpochEnded) and event.epoch >= self.recipe.stages[event.stage].epochs:
            return
        self._add(event, time)

    def _add(self, event: Event, time: float) -> None:
        so_far = self.events
        if isinstance(event, events.RunStarted | events.RunResumed):
            so_far.start, so_far.first_work = event, None
        elif so_far.last is not None:  # or else the line of RunStarted is torn
            so_far.seconds = round(so_far.seconds + max(0.0, time - so_far.time), 3)
        so_far.progress = event if isinstance(event, Progress) else None
        so_far.last, so_far.time = event, time
        if isinstance(event, StageStarted | _OF_STAGE) and event.stage not in so_far.started:
            so_far.started.add(event.stage)
            so_far.stages.append(event if isinstance(event, StageStarted) else self._planned(event.stage))
        if isinstance(event, StepLogged):
            so_far.steps.append(event)
            so_far.step_seconds.append(so_far.seconds)
        elif isinstance(event, EpochEnded):
            so_far.epochs.append(event)
            so_far.epoch_seconds.append(so_far.seconds)
        is_work = isinstance(event, StepLogged | EpochEnded | Progress) and getattr(event, "phase", "") != "compile"
        if so_far.first_work is None and so_far.stages and is_work:
            so_far.first_work = so_far.seconds, self.part_done()

    def _planned(self, index: int) -> StageStarted:
        """Rebuild the StageStarted event of a stage from the recipe, because its line is torn."""
        stage, images = self.recipe.stages[index], cost.training_images(self.recipe)
        processes = self.events.start.processes if self.events.start else 1
        return StageStarted(
            stage=index,
            name=stage.name,
            epochs=stage.epochs,
            steps=steps_per_epoch(images, stage.batch_size, processes),
            images=images,
            trainable=stage.trainable,
            image_sizes=stage.image_sizes,
            batch_size=stage.batch_size,
        )

    def part_done(self) -> float:
        """Fraction of the run's total cost that is done, between 0 and 1."""
        so_far, recipe = self.events, self.recipe
        if isinstance(so_far.last, events.RunCompleted):
            return 1.0
        if not so_far.stages:
            return 0.0
        index = so_far.stages[-1].stage
        done = sum(cost.stage_macs(recipe, earlier) for earlier in recipe.stages[:index])
        if so_far.progress is not None and so_far.progress.phase == "test":
            done += cost.stage_macs(recipe, recipe.stages[index]) + cost.testing_macs(recipe) * _part(so_far.progress)
        elif isinstance(so_far.last, events.StageEnded):  # it may have ended early
            done += cost.stage_macs(recipe, recipe.stages[index])
        else:
            done += self._done_of_stage(index)
        return min(1.0, done / cost.run_macs(recipe))

    def _done_of_stage(self, index: int) -> float:
        """Multiply-accumulates of a stage that are done."""
        stage, progress = self.recipe.stages[index], self.events.progress
        if progress is not None and progress.phase == "features":
            return cost.feature_macs(self.recipe, stage) * _part(progress)
        epochs = self.epochs_done(index) + self.epoch_part()
        if not epochs:
            return 0.0
        return cost.feature_macs(self.recipe, stage) + cost.macs_of_epochs(self.recipe, stage, epochs)

    def epochs_done(self, stage: int) -> int:
        """Completed epochs of the stage that is being trained; 0 for any other stage."""
        last = self.events.epochs[-1] if self.events.epochs else None
        return last.epoch + 1 if last and last.stage == stage else 0

    def epochs_of(self, stage: int) -> int:
        """Completed epochs of any stage."""
        return sum(ended.stage == stage for ended in self.events.epochs)

    def epoch_part(self) -> float:
        """Fraction of the current epoch that is done, between 0 and 1."""
        so_far = self.events
        stage = so_far.stages[-1]
        part = 0.0
        step = so_far.steps[-1] if so_far.steps else None
        if step and (step.stage, step.epoch) == (stage.stage, self.epochs_done(stage.stage)):
            part = min(1.0, step.images / stage.images)
        if so_far.progress is not None and so_far.progress.phase == "train":
            part = max(part, _part(so_far.progress))
        return part

    def best(self) -> tuple[int, float] | None:
        """Best epoch by val top-1: its index among all epochs (from 0) and its val top-1."""
        tops = [
            (index, top1) for index, ended in enumerate(self.events.epochs) if (top1 := val_top1(ended)) is not None
        ]
        return max(tops, key=lambda top: top[1], default=None)


def _part(progress: Progress) -> float:
    return min(1.0, progress.done / max(1, progress.total))


def val_top1(ended: EpochEnded) -> float | None:
    """Val top-1 after an epoch: the better one of the raw and the averaged weights."""
    return max((metrics.top1 for metrics in (ended.val, ended.ema_val) if metrics), default=None)


class Records:
    """The records of all runs in a folder. Each is kept, so that reading it again costs only the new lines."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[tuple[str, int], Record] = {}
        self._runs: dict[str, RunDir] = {}

    def names(self) -> list[str]:
        """Names of all runs, newest first."""
        created = {}
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            with suppress(OSError):  # it has none, or is deleted at this moment
                created[folder.name] = os.stat(f"{folder}/recipe.json").st_mtime_ns
        self._known = {key: record for key, record in self._known.items() if key[0] in created}
        return sorted(filter(is_plain, created), key=lambda name: (-created[name], name))

    def runs(self) -> list[RunDir]:
        """All runs, newest first. Each is kept: building paths takes longer than asking for a file's time."""
        self._runs = {name: self._runs.get(name) or RunDir(self.root / name) for name in self.names()}
        return list(self._runs.values())

    def get(self, name: str) -> Record:
        """Return a run's record, up to date. Raises UserError if there is no such run or its recipe cannot be read."""
        run = RunDir(self.root / str(name))
        if run.name != name or name == ".." or not os.path.lexists(run.recipe_file):  # `one//` is `one` to a disk
            known = ", ".join(self.names()) or "none yet"
            raise UserError(f"there is no run {brief(name)} here; the runs are: {known}.")
        try:
            key = name, run.recipe_file.stat().st_mtime_ns  # a new run may have the name of a deleted one
        except OSError as error:
            raise files.cannot_read(run.recipe_file, error) from error
        record = self._known.get(key) or Record(run)
        self._known[key] = record
        return record.read()
