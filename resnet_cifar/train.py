"""One run, from its first event to its last: it drives the loop, records, saves, and ends exactly once."""

import json
import os
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from resnet_cifar import files, locks, loop
from resnet_cifar.checkpoint import ModelConfig, read_tensors, save_checkpoint, write_tensors
from resnet_cifar.cifar100_files import find
from resnet_cifar.config import Recipe
from resnet_cifar.data import Dataset, Normalization, Preprocess, load
from resnet_cifar.device import choose_precision, describe, identity, is_out_of_memory, peak_memory
from resnet_cifar.errors import Diverged, UserError
from resnet_cifar.evaluate import test
from resnet_cifar.events import (
    Event,
    Metrics,
    Progress,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunStopped,
    StageEnded,
    StepLogged,
)
from resnet_cifar.run_dir import RunDir
from resnet_cifar.stopping import StopRequests
from resnet_cifar.stopwatch import Stopwatch
from resnet_cifar.training import Best, Training
from resnet_cifar.weights import Start, build, read_file, read_start

_LONGEST_REASON = 2000  # characters; the whole of it is in the traceback
_PROGRESS_EVERY = 1.0  # seconds without a word after which metrics.jsonl gets a line of progress


def train(
    run: RunDir,
    *,
    device: torch.device,
    data_dir: Path | None,
    save_every: float = 60.0,
    inherited: Sequence[int] = (),
) -> Generator[Event, None, None]:
    """Train a run, from its beginning or from what it last saved, and yield its events as they are written down.

    The last one is RunCompleted, RunStopped or RunFailed. `save_every`: seconds. `inherited`: descriptors of the locks
    that the parent took already. Raises UserError, before the first event, where the device is in use, where another
    process trains this run or where it is completed.
    """
    with using(device, run.handle, inherited), run.locked(os.getpid(), inherited), StopRequests(run.stop_file) as stop:
        if isinstance(run.last_event(), RunCompleted):
            raise UserError(f"run {run.name!r} is completed; start a new one, for instance with --init {run.handle}.")
        yield from _Session(run, device, data_dir, save_every, stop).events()


@contextmanager
def using(device: torch.device, note: str, inherited: Sequence[int] = ()) -> Iterator[int]:
    """Keep other runs off a device; its lock's descriptor. Raises UserError where there is one on it."""
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(locks.locked(locks.device_file(identity(device)), note, None, inherited))
        except locks.Held as error:
            raise _busy(device, error.holder) from error
        except OSError as error:
            raise files.cannot_write(locks.device_file(identity(device)), error) from error
        yield lock


def check(recipe: Recipe, data_dir: Path | None, device: torch.device) -> None:
    """Refuse, before a folder is made, what can be seen now to fail later. Raises UserError."""
    if (holder := locks.holder(locks.device_file(identity(device)))) is not None:
        raise _busy(device, holder)
    if recipe.data == "cifar100" and data_dir is not None:
        find(data_dir)
    if recipe.init not in ("scratch", "imagenet"):
        build(recipe, read_file(Path(recipe.init)))


def _busy(device: torch.device, holder: locks.Holder) -> UserError:
    return UserError(
        f"the {describe(device)} is busy with run {holder.note!r}; stop that one, or wait for its end. "
        "One run at a time trains on a device."
    )


class _Session:
    """What one process does of a run."""

    def __init__(
        self, run: RunDir, device: torch.device, data_dir: Path | None, save_every: float, stop: StopRequests
    ) -> None:
        self.run = run
        self.device = device
        self.data_dir = data_dir
        self.save_every = save_every
        self.stop = stop
        self.recipe: Recipe = run.recipe()
        self.precision = choose_precision(self.recipe.precision, device)
        self.stopwatch = Stopwatch()
        self.training: Training | None = None
        self.normalization: Normalization | None = None
        self.saved_at = self.said_at = time.monotonic()
        self.written: Best | None = None

    def events(self) -> Iterator[Event]:
        """The run's events, the last of which ends it, whatever happens."""
        try:
            for event in self.stopwatch.timed(self._work()):
                event = self._record(event)
                if isinstance(event, RunCompleted):
                    self.run.last_file.unlink(missing_ok=True)
                yield event
                if isinstance(event, RunCompleted):
                    return
                if by := self.stop.requested():
                    self._save()
                    yield self._record(RunStopped(by=by))
                    return
                if isinstance(event, StageEnded) or time.monotonic() - self.saved_at >= self.save_every:
                    self._save()
        except Exception as error:
            yield self._fail(error)

    def _work(self) -> Iterator[Event]:
        """All that is left to do, and all that it says."""
        tensors, header = read_tensors(self.run.last_file) if self.run.last_file.exists() else ({}, {})
        saved: dict[str, Any] | None = json.loads(header["resume"]) if header else None
        self.run.cut(saved["metrics_bytes"] if saved else 0)
        yield self._first_event(saved)
        dataset = yield from load(self.recipe, self.data_dir, self.device)
        if saved is None:
            start = yield from read_start(self.recipe)
        else:
            mean, std = saved["normalization"]
            start = Start(None, Normalization(tuple(mean), tuple(std)), "")
        model = build(self.recipe, start).to(self.device)
        training = Training(model, self.recipe, self.device, self.precision)
        if saved is not None:
            training.restore(tensors, saved)
            self.stopwatch.restore(saved["times"])
        self.training, self.normalization = training, start.normalization
        self.stopwatch.lap()
        yield from loop.train(training, dataset, start.normalization)
        yield from self._finish(training, dataset, start.normalization)

    def _first_event(self, saved: dict[str, Any] | None) -> Event:
        data_dir = str(self.data_dir) if self.data_dir else None
        where: dict[str, Any] = {"device": str(self.device), "precision": self.precision, "data_dir": data_dir}
        if saved is None:
            return RunStarted(recipe=self.recipe.name, **where)
        position = saved["position"]
        return RunResumed(stage=position["stage"], epoch=position["epoch"], step=position["step"], **where)

    def _finish(self, training: Training, dataset: Dataset, normalization: Normalization) -> Iterator[Event]:
        """Test the weights that were kept, once, and write down how they did."""
        assert training.best is not None  # there is an epoch at least, and the first one is the best so far
        training.model.load_state_dict(training.best.weights)
        preprocess = Preprocess(training.best.image_size, normalization, self.device)
        summary = yield from test(training.model, dataset.test, preprocess, training.autocast)
        self._save_best(training.best, normalization)
        files.write_text(self.run.eval_file, json.dumps(summary, indent=2) + "\n")
        metrics = Metrics(loss=summary["loss"], top1=summary["top1"], top5=summary["top5"])
        yield RunCompleted(test=metrics, coarse_top1=summary["coarse_top1"])

    def _record(self, event: Event) -> Event:
        """Write an event down; progress only where nothing else was said for a while."""
        if isinstance(event, Progress) and time.monotonic() - self.said_at < _PROGRESS_EVERY:
            return event
        if isinstance(event, StepLogged):
            event = replace(event, gpu_memory=peak_memory(self.device))
        self.run.append(event)
        self.said_at = time.monotonic()
        return event

    def _save(self) -> None:
        """Write down all that resuming needs, together with how much of the events it knows of."""
        if self.training is None or self.normalization is None:
            return
        tensors, facts = self.training.state()
        if self.training.best is not None:
            self._save_best(self.training.best, self.normalization)
        facts |= {
            "metrics_bytes": self.run.flush(),
            "times": self.stopwatch.state(),
            "normalization": [self.normalization.mean, self.normalization.std],
        }
        write_tensors(self.run.last_file, tensors, {"resume": json.dumps(facts)})
        self.saved_at = time.monotonic()

    def _save_best(self, best: Best, normalization: Normalization) -> None:
        if best is not self.written:
            config = ModelConfig(
                arch=self.recipe.arch,
                stem=self.recipe.stem,
                image_size=best.image_size,
                normalization=normalization,
            )
            save_checkpoint(self.run.path, config, best.weights)
            self.written = best

    def _fail(self, error: Exception) -> RunFailed:
        """Keep the best weights so far, and say in a sentence why the run ends here."""
        if isinstance(error, UserError | Diverged):
            event = RunFailed(reason=str(error)[:_LONGEST_REASON], user_error=isinstance(error, UserError))
        elif is_out_of_memory(error):
            event = RunFailed(reason=self._out_of_memory(), user_error=True)
        else:
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
            event = RunFailed(reason=reason, user_error=False)
        with suppress(UserError, Diverged):  # a full disk must not hide the reason
            if self.training and self.training.best and self.normalization:
                self._save_best(self.training.best, self.normalization)
        with suppress(UserError):
            self.run.append(event)
        return event

    def _out_of_memory(self) -> str:
        stage = self.recipe.stages[0] if self.training is None or self.training.done else self.training.stage
        place = "GPU memory" if self.device.type == "cuda" else "memory"
        return (
            f"out of {place} in stage {stage.name!r} at batch size {stage.batch_size} and {stage.image_size} px; end "
            f"other programs that use it and --resume {self.run.handle}, or try a new run with "
            f"--batch-size {max(2, stage.batch_size // 2)} or a smaller --image-size."
        )
