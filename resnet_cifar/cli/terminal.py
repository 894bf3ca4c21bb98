"""What a person at a terminal sees of a run: a bar while it works, a line an epoch, a table at the end."""

import sys
import time
from collections.abc import Generator
from typing import TypeVar

from tqdm import tqdm

from resnet_cifar.events import (
    BatchSplit,
    EpochEnded,
    Event,
    Progress,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunStopped,
    StageStarted,
    StepLogged,
)
from resnet_cifar.report.text import (
    STAGE_COLUMNS,
    duration,
    gibibytes,
    learns,
    metrics_line,
    percent,
    sizes,
    stage_rows,
    table,
)
from resnet_cifar.runs.run_dir import RunDir

T = TypeVar("T")

_LINE_EVERY = 10.0  # seconds between two lines where there is no terminal to draw a bar on
_DOING = {
    "download": "downloading",
    "features": "computing features",
    "compile": "compiling",
    "evaluate": "evaluating",
    "test": "testing",
    "upload": "uploading",
    "export": "exporting",
}


class TerminalView:
    """Shows events one by one. Where output is no terminal, plain lines take the place of the bar."""

    def __init__(self, run: RunDir, began: float) -> None:
        """`began`: when the command was given, by the monotonic clock."""
        self._run = run
        self._began: float | None = began
        self._stages = run.recipe().stages
        self._bar = Bar()
        self._stage: StageStarted | None = _last_stage(run)
        self._epoch = 0
        self._memory: int | None = None

    def show(self, event: Event) -> None:
        """Show one more event."""
        match event:
            case RunStarted() | RunResumed():
                self._bar.say(self._opening(event))
                self._epoch = event.epoch if isinstance(event, RunResumed) else 0
            case StageStarted():
                self._stage, self._epoch = event, 0
                self._bar.say(f"\nstage {event.stage + 1}/{len(self._stages)}: {_stage_line(event)}")
            case Progress(phase="train") if self._stage:
                self._train(event, self._stage)
            case Progress():
                self._bar.progress(event)
            case StepLogged():
                where = f"epoch {event.epoch + 1}/{self._stages[event.stage].epochs}"
                speed = f"{event.images_per_second or 0:,.0f} images/s"
                self._bar.note(f"{where}, loss {event.loss:.3f}, lr {event.lr:.4f}, {speed}")
                self._memory = event.memory
            case EpochEnded() if self._stage:
                self._bar.say(_epoch_line(event, self._stage))
                self._bar.note("")  # what was said of this epoch does not hold for the next
                self._epoch = event.epoch + 1
            case BatchSplit():
                size = -(-self._stages[event.stage].batch_size // event.micro_batches)
                self._bar.say(f"  not enough memory for a whole batch: it is gone through {size} images at a time")
            case RunCompleted() | RunStopped():
                self._bar.say(self._ending(event))
            case RunFailed():
                self._bar.say(f"run {self._run.name} failed")
                print(f"error: {event.reason}", file=sys.stderr)

    def _train(self, event: Progress, stage: StageStarted) -> None:
        """The bar runs over the whole stage, so that its time left is the stage's."""
        if self._began is not None:
            self._bar.say(f"  first step after {time.monotonic() - self._began:.1f} s")
            self._began = None
        done = min(event.done * stage.batch_size, stage.images) if event.done < event.total else stage.images
        self._bar.move(stage.name, self._epoch * stage.images + done, stage.epochs * stage.images, "img")

    def _opening(self, event: RunStarted | RunResumed) -> str:
        recipe = self._run.recipe()
        verb = f"run {self._run.name}"
        if isinstance(event, RunResumed):
            verb += f" goes on in stage {min(event.stage, len(self._stages) - 1) + 1}, epoch {event.epoch + 1}"
        many = f" ({event.processes} processes)" if event.processes > 1 else ""
        taught = f", taught by {recipe.teacher}" if recipe.teacher else ""
        return (
            f"{verb}: recipe {recipe.name} on {event.device}{many} in {event.precision}, {recipe.arch} with the "
            f"{recipe.stem} stem, weights from {recipe.init}{taught}, seed {recipe.seed}\nin {self._run.path}"
        )

    def _ending(self, event: RunCompleted | RunStopped) -> str:
        if isinstance(event, RunCompleted):
            memory = f" with {gibibytes(self._memory)} of memory at most" if self._memory else ""
            return (
                f"\n{table(STAGE_COLUMNS, stage_rows(event for event, _ in self._run.history()))}\n\n"
                f"{metrics_line('test', event.test, event.coarse_top1)}\n"
                f"done in {duration(event.seconds or 0)}{memory}; the checkpoint is {self._run.path}"
            )
        return f"stopped by {event.by}; all is saved. Go on with --resume {self._run.handle}"


def watch(work: Generator[Progress, None, T]) -> T:
    """Do `work` behind a bar; what it comes to."""
    bar = Bar()
    while True:
        try:
            bar.progress(next(work))
        except StopIteration as end:
            bar.close()
            return end.value


class Bar:
    """A progress bar on a terminal; elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._bar: tqdm | None = None
        self._name = ""
        self._note = ""
        self._said_at = time.monotonic()

    def move(self, name: str, done: int, total: int, unit: str) -> None:
        """Work called `name` is that far."""
        if not self._live:
            if time.monotonic() - self._said_at >= _LINE_EVERY:
                self.say(f"  {name}: {percent(done / max(1, total))}  {self._note}".rstrip())
            return
        if self._bar is None or name != self._name:
            self.close()
            self._name = name
            self._bar = tqdm(
                desc=name, initial=done, total=total, unit=unit, unit_scale=True, leave=False, dynamic_ncols=True
            )
        self._bar.update(done - self._bar.n)

    def progress(self, event: Progress) -> None:
        """The work that an event speaks of is that far."""
        unit = {"download": "B", "upload": "steps", "export": "steps"}.get(event.phase, "img")
        self.move(_DOING[event.phase], event.done, event.total, unit)

    def note(self, text: str) -> None:
        """What stands beside the bar from now on."""
        self._note = text
        if self._bar is not None:
            self._bar.set_postfix_str(text.rpartition(",")[0], refresh=False)  # tqdm shows a speed of its own

    def say(self, text: str) -> None:
        """Print lines that stay."""
        self.close()
        print(text, flush=True)
        self._said_at = time.monotonic()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _stage_line(stage: StageStarted) -> str:
    epochs = "1 epoch" if stage.epochs == 1 else f"{stage.epochs} epochs"
    return (
        f"{stage.name}, {learns(stage.trainable)} learns; {epochs} of {stage.images:,} images "
        f"at {sizes(stage.image_sizes)}, batch {stage.batch_size}"
    )


def _epoch_line(event: EpochEnded, stage: StageStarted) -> str:
    line = f"{stage.name} {event.epoch + 1:>{len(str(stage.epochs))}}/{stage.epochs}"
    line += f"  train loss {event.train_loss:.3f} top-1 {percent(event.train_top1)}"
    if event.val:
        line += f"  val loss {event.val.loss:.3f} top-1 {percent(event.val.top1)}"
    if event.ema_val:
        line += f"  EMA {percent(event.ema_val.top1)}"
    if len(stage.image_sizes) > 1:
        line += f"  {event.image_size} px"
    line += f"  {duration(event.seconds or 0)}, {event.images_per_second or 0:,.0f} images/s"
    return line + ("  best" if event.best and event.val else "")


def _last_stage(run: RunDir) -> StageStarted | None:
    """The stage that a resumed run is in."""
    stages = [event for event, _ in run.history() if isinstance(event, StageStarted)]
    return stages[-1] if stages else None
