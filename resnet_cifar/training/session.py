"""One run, from its first event to its last: drives the loop, records events, saves, and ends exactly once."""

import os
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from resnet_cifar.data.dataset import load
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Dataset
from resnet_cifar.engine import loop
from resnet_cifar.engine.calibration import fit_calibration
from resnet_cifar.engine.evaluate import test
from resnet_cifar.engine.state import Training
from resnet_cifar.engine.unknown import fit_unknown, outputs
from resnet_cifar.errors import Diverged, UserError
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
from resnet_cifar.model.distillation import read_teacher
from resnet_cifar.model.initial import Start, build, read_start
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system import files
from resnet_cifar.system.device import Threads, choose_precision, runs_in
from resnet_cifar.system.distributed import ALONE, World
from resnet_cifar.system.memory import PeakMemory
from resnet_cifar.system.signals import StopRequests
from resnet_cifar.training.failures import failure
from resnet_cifar.training.preflight import check_batches, check_unfinished, using
from resnet_cifar.training.saves import Saves
from resnet_cifar.training.stopwatch import Stopwatch

_ASKERS = (None, "SIGINT", "SIGTERM", "stop file")
_PROGRESS_EVERY = 1.0  # seconds without another event after which progress is written to metrics.jsonl


def train(
    run: RunDir,
    *,
    device: torch.device,
    data_dir: Path | None,
    save_every: float = 60.0,
    inherited: Sequence[int] = (),
    world: World = ALONE,
) -> Generator[Event, None, None]:
    """Train a run, from the beginning or from its last save, and yield its events as they are recorded.

    The last event is RunCompleted, RunStopped or RunFailed.

    save_every: seconds between saves. inherited: descriptors of locks that the parent process has taken. world:
    processes that train together, of which rank 0 writes the files.

    Raises UserError before the first event if the device is in use, if another process trains this run, or if the run
    is completed.
    """
    with ExitStack() as stack:
        if world.first or device.type == "cuda":  # on a CPU all processes share one device
            stack.enter_context(using(device, run.handle, inherited))
        if world.first:
            stack.enter_context(run.locked(os.getpid(), inherited))
            files.remove(run.queued_file)  # whoever trains it
        stop = stack.enter_context(StopRequests(run.stop_file, once=world.size == 1))
        check_unfinished(run)
        check_batches(run.recipe(), world.size)
        yield from _Session(run, device, data_dir, save_every, stop, world).events()


class _Session:
    """One process's part in a run."""

    def __init__(
        self, run: RunDir, device: torch.device, data: Path | None, save_every: float, stop: StopRequests, world: World
    ) -> None:
        self.run = run
        self.device = device
        self.data_dir = data
        self.save_every = save_every
        self.stop = stop
        self.world = world
        self.recipe: Recipe = run.recipe()
        self.precision = choose_precision(self.recipe.precision, device)
        self.saves = Saves(run, self.recipe)
        self.stopwatch = Stopwatch()
        self.memory = PeakMemory(device)
        self.threads = Threads(window=5.0)  # beside a busy program, two that wait for each other are slower than one
        self.ready = False
        """Whether data and initial weights are here."""
        self.others_wait = world.size > 1
        """Whether all wait for rank 0, which downloads for all."""
        self.training: Training | None = None
        self.normalization: Normalization | None = None
        self.saved_at = self.recorded_at = time.monotonic()

    def events(self) -> Iterator[Event]:
        """Yield the run's events; the last one ends it, whatever happens."""
        try:
            for event in self.stopwatch.timed(self._work()):
                self.threads.follow()
                event = self._record(event)
                if isinstance(event, RunCompleted):
                    files.remove(self.run.last_file)
                yield event
                if isinstance(event, RunCompleted):
                    return
                by, save = self._agree()
                if by or save or isinstance(event, StageEnded):
                    self._save()
                if by:
                    self.world.barrier()  # rank 0 has saved: when one process ends, torchrun ends the others
                    yield self._record(RunStopped(by=by))
                    return
        except Exception as error:
            yield self._fail(error)

    def _agree(self) -> tuple[str | None, bool]:
        """Return who asked the run to stop, if anyone, and whether to save now; the same in all processes.

        Every process calls this after each event, so all must yield equally many, except while each loads its own data.
        """
        if self.world.size > 1 and self.training is None and not self.others_wait:
            return None, False
        asker = _ASKERS.index(self.stop.requested())
        due = time.monotonic() - self.saved_at >= self.save_every
        asker, save, wait = self.world.agree(asker, due, self.world.first and not self.ready)
        self.others_wait = self.world.size > 1 and bool(wait)
        return _ASKERS[asker], bool(save)

    def _work(self) -> Iterator[Event]:
        """Do all that is left of the run."""
        tensors, saved = self.saves.read()
        if self.world.first:
            self.run.cut(saved["metrics_bytes"] if saved else 0)
        yield self._first_event(saved)
        while self.others_wait and not self.world.first:
            yield Progress(phase="download", done=0, total=1)
        dataset = yield from load(self.recipe, self.data_dir, self.device)
        start = yield from self._start(saved)
        self.ready = True
        if self.others_wait:
            yield Progress(phase="download", done=1, total=1)  # with the agreement after it the others go on
        model = build(self.recipe, start).to(self.device)
        autocast = runs_in(self.device, self.precision)
        teacher = read_teacher(self.recipe, self.device, start.normalization, autocast)
        training = Training(model, self.recipe, self.device, self.precision, self.world, teacher)
        if saved is not None:
            self.saves.restore(training, tensors, saved)
            self.stopwatch.restore(saved["times"])
        self.training, self.normalization = training, start.normalization
        if saved is None:
            self._save()  # before the first step: from here on, a missing save is a lost one
        self.stopwatch.lap()
        yield from loop.train(training, dataset, start.normalization)
        yield from self._finish(training, dataset, start.normalization)

    def _start(self, saved: dict[str, Any] | None) -> Generator[Progress, None, Start]:
        """Initial weights; a resumed run needs only their normalization."""
        if saved is None:
            return (yield from read_start(self.recipe))
        mean, std = saved["normalization"]
        return Start(None, Normalization(tuple(mean), tuple(std)), "")

    def _first_event(self, saved: dict[str, Any] | None) -> Event:
        where: dict[str, Any] = {
            "device": str(self.device),
            "precision": self.precision,
            "data_dir": str(self.data_dir) if self.data_dir else None,
            "processes": self.world.size,
        }
        if saved is None:
            return RunStarted(recipe=self.recipe.name, **where)
        position = saved["position"]
        return RunResumed(stage=position["stage"], epoch=position["epoch"], step=position["step"], **where)

    def _finish(self, training: Training, dataset: Dataset, normalization: Normalization) -> Iterator[Event]:
        """Calibrate the best weights on val, fit what notices other things, test them, once, and record the result."""
        assert training.best is not None  # the first epoch is always the best so far
        training.model.load_state_dict(training.best.weights)
        preprocess = Preprocess(training.best.image_size, normalization, self.device)
        how = preprocess, training.autocast, self.world
        of_val = yield from outputs(training.model, dataset.val, *how, phase="evaluate")
        calibration = fit_calibration(of_val.logits, dataset.val.labels)
        unknown = yield from fit_unknown(training.model, dataset.train, dataset.val, of_val, *how)
        summary = yield from test(training.model, dataset.test, *how, calibration=calibration)
        if self.world.first:
            self.saves.write_best(training.best, normalization, calibration, unknown)
            self.run.save_results(summary)
        metrics = Metrics(loss=summary["loss"], top1=summary["top1"], top5=summary["top5"])
        yield RunCompleted(test=metrics, coarse_top1=summary["coarse_top1"])

    def _record(self, event: Event) -> Event:
        """Append an event to metrics.jsonl; progress only when nothing else was recorded for a while."""
        if not self.world.first:
            return event
        if isinstance(event, Progress) and time.monotonic() - self.recorded_at < _PROGRESS_EVERY:
            return event
        if isinstance(event, StepLogged):
            event = replace(event, memory=self.memory.bytes())
        self.run.append(event)
        self.recorded_at = time.monotonic()
        return event

    def _save(self) -> None:
        """Save all that resuming needs, and the best weights."""
        if self.training is None or self.normalization is None:
            return
        tensors, facts = self.training.state()  # in all processes: they share their BatchNorm statistics
        self.saved_at = time.monotonic()
        if not self.world.first:
            return
        if self.training.best is not None:
            self.saves.write_best(self.training.best, self.normalization)
        self.saves.write(tensors, facts | {"times": self.stopwatch.state()}, self.normalization)
        self.saved_at = time.monotonic()  # again: writing can take a while

    def _fail(self, error: Exception) -> RunFailed:
        """Save the best weights so far, and say in a sentence why the run ends here."""
        training = self.training if self.training and not self.training.done else None
        stage = training.stage if training else self.recipe.stages[0]
        size = training.settings.image_size if training else stage.image_size
        event = failure(error, self.run, stage, size, self.device)
        if not self.world.first:
            print(f"error, in process {self.world.rank}: {event.reason}", file=sys.stderr, flush=True)
            return event
        with suppress(UserError):
            self.run.append(event)
        with suppress(UserError, Diverged):  # a full disk must not hide the reason
            if self.training and self.training.best and self.normalization:
                self.saves.write_best(self.training.best, self.normalization)
        return event
