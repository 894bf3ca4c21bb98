"""Progress of a run in the terminal: a bar while it works, a line for each epoch, a table at the end."""

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

_LINE_EVERY = 10.0  # seconds between two lines if the output is not a terminal
_PHASES = {
    "download": "downloading",
    "download from the Hub": "downloading from the Hub",
    "read images": "reading images",
    "features": "computing features",
    "train": "training",
    "compile": "compiling",
    "range": "finding a learning rate",
    "evaluate": "evaluating",
    "test": "testing",
    "upload": "uploading",
    "export": "exporting",
}
_UNITS = {"download": "B", "download from the Hub": "B", "upload": "steps", "export": "steps", "range": "steps"}


class TerminalView:
    """Shows the events of a run, as they come. If the output is not a terminal, plain lines replace the bar."""

    def __init__(self, run: RunDir, began: float) -> None:
        """`began`: when the command was given, on the monotonic clock."""
        self._run = run
        self._began: float | None = began
        """None once the first step has been reported."""
        self._stages = run.recipe().stages
        self._bar = Bar()
        self._stage: StageStarted | None = _last_stage(run)
        self._epoch = 0
        self._memory: int | None = None
        """Peak so far in bytes."""

    def show(self, event: Event) -> None:
        """Show the next event."""
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
                epoch = f"epoch {event.epoch + 1}/{self._stages[event.stage].epochs}"
                speed = f"{event.images_per_second or 0:,.0f} images/s"
                self._bar.note(f"{epoch}, loss {event.loss:.3f}, lr {event.lr:.4f}", speed)
                self._memory = event.memory
            case EpochEnded() if self._stage:
                self._bar.say(_epoch_line(event, self._stage))
                self._bar.note("")  # the next epoch has no numbers yet
                self._epoch = event.epoch + 1
            case BatchSplit():
                size = -(-self._stages[event.stage].batch_size // event.micro_batches)
                self._bar.say(f"  not enough memory for a whole batch: it is split into micro-batches of {size} images")
            case RunCompleted() | RunStopped():
                self._bar.say(self._ending(event))
            case RunFailed():
                self._bar.say(f"run {self._run.name} failed")
                print(f"error: {event.reason}", file=sys.stderr)

    def _train(self, event: Progress, stage: StageStarted) -> None:
        """Move the bar, which runs over the whole stage, so that its remaining time is the stage's."""
        if self._began is not None:
            self._bar.say(f"  first step after {time.monotonic() - self._began:.1f} s")
            self._began = None
        done = min(event.done * stage.batch_size, stage.images) if event.done < event.total else stage.images
        self._bar.move(stage.name, self._epoch * stage.images + done, stage.epochs * stage.images, "img")

    def _opening(self, event: RunStarted | RunResumed) -> str:
        recipe = self._run.recipe()
        start = f"run {self._run.name}"
        if isinstance(event, RunResumed):  # a run stopped before its test is resumed past its last stage
            start += f" resumes in stage {min(event.stage, len(self._stages) - 1) + 1}, epoch {event.epoch + 1}"
        processes = f" ({event.processes} processes)" if event.processes > 1 else ""
        teacher = f", teacher {recipe.teacher}" if recipe.teacher else ""
        return (
            f"{start}: recipe {recipe.name} on {event.device}{processes} in {event.precision}, {recipe.arch} with the "
            f"{recipe.stem} stem, weights from {recipe.init}{teacher}, seed {recipe.seed}\nin {self._run.path}"
        )

    def _ending(self, event: RunCompleted | RunStopped) -> str:
        if isinstance(event, RunCompleted):
            memory = f", peak memory {gibibytes(self._memory)}" if self._memory else ""
            return (
                f"\n{table(STAGE_COLUMNS, stage_rows(event for event, _ in self._run.history()))}\n\n"
                f"{metrics_line('test', event.test, event.coarse_top1)}\n"
                f"done in {duration(event.seconds or 0)}{memory}; the checkpoint is {self._run.path}"
            )
        return f"stopped by {event.by}; everything is saved. Continue with --resume {self._run.handle}"


def watch(work: Generator[Progress, None, T]) -> T:
    """Run `work` to its end behind a bar, and return its result."""
    bar = Bar()
    try:
        while True:
            bar.progress(next(work))
    except StopIteration as end:
        return end.value
    finally:
        bar.close()


class Bar:
    """A progress bar in a terminal; elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._bar: tqdm | None = None
        self._name = ""
        self._note = ""
        """Numbers in a plain line."""
        self._printed_at = time.monotonic()

    def move(self, name: str, done: int, total: int, unit: str) -> None:
        """Show how far the work called `name` is."""
        if not self._live:
            if time.monotonic() - self._printed_at >= _LINE_EVERY:
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
        """Show an event's progress."""
        self.move(_PHASES[event.phase], event.done, event.total, _UNITS.get(event.phase, "img"))

    def note(self, text: str, speed: str = "") -> None:
        """Show `text` beside the bar from now on. `speed` is only for plain lines: tqdm measures its own."""
        self._note = f"{text}, {speed}" if speed else text
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def say(self, text: str) -> None:
        """Print text that stays, above the bar."""
        self.close()
        print(text, flush=True)
        self._printed_at = time.monotonic()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _stage_line(stage: StageStarted) -> str:
    epochs = "1 epoch" if stage.epochs == 1 else f"{stage.epochs} epochs"
    return (
        f"{stage.name}, trainable: {learns(stage.trainable)}; {epochs} of {stage.images:,} images "
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
    """Return the stage that a resumed run is in."""
    stages = [event for event, _ in run.history() if isinstance(event, StageStarted)]
    return stages[-1] if stages else None
