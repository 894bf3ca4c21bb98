"""A run's record, read on cheaply as it grows."""

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from resnet_cifar import events
from resnet_cifar.errors import UserError
from resnet_cifar.events import EpochEnded, Event, Progress, StageStarted, StepLogged
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.runs.run_dir import RunDir

_CHECKED = 256  # bytes before where reading stopped; if they changed, the record was cut and written anew

_OF_STAGE = StageStarted | StepLogged | EpochEnded | events.StageEnded


@dataclass
class _Said:
    """All that a record holds so far, sorted by kind."""

    stages: list[StageStarted] = field(default_factory=list)
    steps: list[StepLogged] = field(default_factory=list)
    epochs: list[EpochEnded] = field(default_factory=list)
    progress: Progress | None = None
    """Since the last event of another kind."""
    begun: events.RunStarted | events.RunResumed | None = None
    last: Event | None = None
    time: float = 0.0
    """Of the last event, in seconds of the clock."""
    seconds: float = 0.0
    """From start to end of each process that worked on the run, but for the one at work."""
    begun_at: float = 0.0
    mark: tuple[float, float] | None = None
    """The first sign of work of the process that worked last: its time, and what part of the run was done then."""


class Record:
    """What a run has said so far."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.recipe: Recipe = run.recipe()
        self.said = _Said()
        self.size = 0
        self._before = b""
        self.lock = threading.RLock()
        """Who takes several looks holds it, so that all are of the same moment."""

    def read(self) -> "Record":
        """Read on to the end of what is there; itself."""
        with self.lock:
            try:
                with open(self.run.metrics_file, "rb") as file:
                    file.seek(self.size - len(self._before))
                    if file.read(len(self._before)) != self._before:
                        self.said, self.size, self._before = _Said(), 0, b""
                        file.seek(0)
                    new = file.read()
            except FileNotFoundError:
                return self
            whole = new[: new.rfind(b"\n") + 1]  # a torn last line may become whole yet
            self.size += len(whole)
            self._before = (self._before + whole)[-_CHECKED:]
            for line in whole.splitlines():
                self._take(line)
        return self

    def _take(self, line: bytes) -> None:
        try:
            event, time = events.from_json(line.decode(errors="replace"))
        except ValueError:
            return
        said = self.said
        if isinstance(event, _OF_STAGE) and event.stage not in range(len(self.recipe.stages)):
            return  # it is of another recipe
        if isinstance(event, events.RunStarted | events.RunResumed):
            said.seconds += max(0.0, said.time - said.begun_at)
            said.begun, said.begun_at, said.mark = event, time, None
        said.progress = event if isinstance(event, Progress) else None
        said.last, said.time = event, time
        match event:
            case StageStarted():
                said.stages.append(event)
            case StepLogged():
                said.steps.append(event)
            case EpochEnded():
                said.epochs.append(event)
        working = isinstance(event, StepLogged | EpochEnded | Progress) and getattr(event, "phase", "") != "compile"
        if said.mark is None and said.stages and working:
            said.mark = time, self.part_done()

    def part_done(self) -> float:
        """How much of all work is behind, between 0 and 1."""
        said, recipe = self.said, self.recipe
        if isinstance(said.last, events.RunCompleted):
            return 1.0
        if not said.stages:
            return 0.0
        index = said.stages[-1].stage
        done = sum(cost.stage_macs(recipe, earlier) for earlier in recipe.stages[:index])
        if said.progress is not None and said.progress.phase == "test":
            done += cost.stage_macs(recipe, recipe.stages[index]) + cost.testing_macs(recipe) * _part(said.progress)
        elif isinstance(said.last, events.StageEnded):  # it may have ended early
            done += cost.stage_macs(recipe, recipe.stages[index])
        else:
            done += self._done_of_stage(index)
        return min(1.0, done / cost.run_macs(recipe))

    def _done_of_stage(self, index: int) -> float:
        stage, progress = self.recipe.stages[index], self.said.progress
        if progress is not None and progress.phase == "features":
            return cost.feature_macs(self.recipe, stage) * _part(progress)
        epochs = self.epochs_done(index) + self.epoch_part()
        if not epochs:
            return 0.0
        return cost.feature_macs(self.recipe, stage) + cost.macs_of_epochs(self.recipe, stage, epochs)

    def epochs_done(self, stage: int) -> int:
        """Whole epochs of a stage."""
        last = self.said.epochs[-1] if self.said.epochs else None
        return last.epoch + 1 if last and last.stage == stage else 0

    def epochs_of(self, stage: int) -> int:
        """How many epochs of any stage were trained."""
        return sum(ended.stage == stage for ended in self.said.epochs)

    def epoch_part(self) -> float:
        """How much of the epoch at hand is done, between 0 and 1."""
        said = self.said
        stage = said.stages[-1]
        part = 0.0
        if said.steps and (said.steps[-1].stage, said.steps[-1].epoch) == (stage.stage, self.epochs_done(stage.stage)):
            part = said.steps[-1].images / stage.images
        if said.progress is not None and said.progress.phase == "train":
            part = max(part, _part(said.progress))
        return part

    def best(self) -> tuple[int, float] | None:
        """Where among all epochs the best val top-1 was (from 0), and how good it was."""
        tops = [(index, top1) for index, ended in enumerate(self.said.epochs) if (top1 := val_top1(ended)) is not None]
        return max(tops, key=lambda top: top[1], default=None)


def _part(progress: Progress) -> float:
    return progress.done / max(1, progress.total)


def val_top1(ended: EpochEnded) -> float | None:
    """Val top-1 after an epoch, of the weights or of their average, whichever did better."""
    return max((metrics.top1 for metrics in (ended.val, ended.ema_val) if metrics), default=None)


class Records:
    """The records of all runs in a folder, each read once and then read on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[tuple[str, int], Record] = {}

    def names(self) -> list[str]:
        """All runs, the newest first."""
        born = {}
        for file in self.root.glob("*/recipe.json"):
            with suppress(OSError):  # it may be deleted at this moment
                born[file.parent.name] = file.stat().st_mtime_ns
        self._known = {key: record for key, record in self._known.items() if key[0] in born}
        return sorted(born, key=lambda name: (-born[name], name))

    def get(self, name: str) -> Record:
        """A run's record, up to date. Raises UserError where there is no such run, or its recipe can't be read."""
        run = RunDir(self.root / name)
        if not name or run.path.parent != self.root or not run.recipe_file.is_file():
            raise UserError(f"there is no run {name!r} here; there are {', '.join(self.names()) or 'none yet'}.")
        try:
            key = name, run.recipe_file.stat().st_mtime_ns  # another run may have got the name of a deleted one
        except OSError as error:
            raise UserError(f"there is no run {name!r} here any more.") from error
        record = self._known.get(key) or Record(run)
        self._known[key] = record
        return record.read()
