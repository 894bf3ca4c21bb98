"""One run, from its first event to its last: it drives the loop, records, saves, and ends exactly once."""

import json
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
from resnet_cifar.engine.evaluate import test
from resnet_cifar.engine.state import Best, Training
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
from resnet_cifar.model.checkpoint import ModelConfig, read_tensors, save_checkpoint, write_tensors
from resnet_cifar.model.distillation import read_teacher
from resnet_cifar.model.initial import Start, build, read_start
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import choose_precision, runs_in
from resnet_cifar.system.distributed import ALONE, World
from resnet_cifar.system.memory import PeakMemory
from resnet_cifar.system.signals import StopRequests
from resnet_cifar.training.failures import failure
from resnet_cifar.training.preflight import check_batches, check_unfinished, using
from resnet_cifar.training.stopwatch import Stopwatch

_ASKERS = (None, "SIGINT", "SIGTERM", "stop file")
_PROGRESS_EVERY = 1.0  # seconds without a word after which metrics.jsonl gets a line of progress


def train(
    run: RunDir,
    *,
    device: torch.device,
    data_dir: Path | None,
    save_every: float = 60.0,
    inherited: Sequence[int] = (),
    world: World = ALONE,
) -> Generator[Event, None, None]:
    """Train a run, from its beginning or from what it last saved, and yield its events as they are written down.

    The last one is RunCompleted, RunStopped or RunFailed. `save_every`: seconds. `inherited`: descriptors of the locks
    that the parent took already. `world`: processes that train it together, of which the first one writes. Raises
    UserError, before the first event, where the device is in use, where another process trains this run or where it is
    completed.
    """
    with ExitStack() as stack:
        if world.first or device.type == "cuda":  # on a CPU they share one device
            stack.enter_context(using(device, run.handle, inherited))
        if world.first:
            stack.enter_context(run.locked(os.getpid(), inherited))
        stop = stack.enter_context(StopRequests(run.stop_file, once=world.size == 1))
        check_unfinished(run)
        check_batches(run.recipe(), world.size)
        yield from _Session(run, device, data_dir, save_every, stop, world).events()


class _Session:
    """What one process does of a run."""

    def __init__(
        self,
        run: RunDir,
        device: torch.device,
        data_dir: Path | None,
        save_every: float,
        stop: StopRequests,
        world: World,
    ) -> None:
        self.run = run
        self.device = device
        self.data_dir = data_dir
        self.save_every = save_every
        self.stop = stop
        self.world = world
        self.recipe: Recipe = run.recipe()
        self.precision = choose_precision(self.recipe.precision, device)
        self.stopwatch = Stopwatch()
        self.memory = PeakMemory(device)
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
                by, save = self._agreed()
                if by or save or isinstance(event, StageEnded):
                    self._save()
                if by:
                    self.world.largest(0)  # nobody ends before all is written: whoever started them would end the rest
                    yield self._record(RunStopped(by=by))
                    return
        except Exception as error:
            yield self._fail(error)

    def _agreed(self) -> tuple[str | None, bool]:
        """Who asked the run to stop, if anybody did, and whether it is time to save: what all processes are to do.

        While they make ready each goes its own way, and there is nothing to agree on.
        """
        by = self.stop.requested()
        save = time.monotonic() - self.saved_at >= self.save_every
        if self.training is None:
            return by, save
        agreed = self.world.largest(2 * (_ASKERS.index(by) if by else 0) + save)
        return _ASKERS[agreed // 2], bool(agreed % 2)

    def _work(self) -> Iterator[Event]:
        """All that is left to do, and all that it says."""
        tensors, header = read_tensors(self.run.last_file) if self.run.last_file.exists() else ({}, {})
        saved: dict[str, Any] | None = json.loads(header["resume"]) if header else None
        if self.world.first:
            self.run.cut(saved["metrics_bytes"] if saved else 0)
        yield self._first_event(saved)
        if not self.world.first:
            self.world.largest(0)  # until the first one has downloaded what there is to download
        dataset = yield from load(self.recipe, self.data_dir, self.device)
        if saved is None:
            start = yield from read_start(self.recipe)
        else:
            mean, std = saved["normalization"]
            start = Start(None, Normalization(tuple(mean), tuple(std)), "")
        if self.world.first:
            self.world.largest(0)
        model = build(self.recipe, start).to(self.device)
        autocast = runs_in(self.device, self.precision)
        teacher = read_teacher(self.recipe, self.device, start.normalization, autocast)
        training = Training(model, self.recipe, self.device, self.precision, self.world, teacher)
        if saved is not None:
            training.restore(tensors, saved)
            self.stopwatch.restore(saved["times"])
        self.training, self.normalization = training, start.normalization
        self.stopwatch.lap()
        yield from loop.train(training, dataset, start.normalization)
        yield from self._finish(training, dataset, start.normalization)

    def _first_event(self, saved: dict[str, Any] | None) -> Event:
        data_dir = str(self.data_dir) if self.data_dir else None
        where: dict[str, Any] = {
            "device": str(self.device),
            "precision": self.precision,
            "data_dir": data_dir,
            "processes": self.world.size,
        }
        if saved is None:
            return RunStarted(recipe=self.recipe.name, **where)
        position = saved["position"]
        return RunResumed(stage=position["stage"], epoch=position["epoch"], step=position["step"], **where)

    def _finish(self, training: Training, dataset: Dataset, normalization: Normalization) -> Iterator[Event]:
        """Test the weights that were kept, once, and write down how they did."""
        assert training.best is not None  # there is an epoch at least, and the first one is the best so far
        training.model.load_state_dict(training.best.weights)
        preprocess = Preprocess(training.best.image_size, normalization, self.device)
        summary = yield from test(training.model, dataset.test, preprocess, training.autocast, self.world)
        self._save_best(training.best, normalization)
        if self.world.first:
            self.run.save_results(summary)
        metrics = Metrics(loss=summary["loss"], top1=summary["top1"], top5=summary["top5"])
        yield RunCompleted(test=metrics, coarse_top1=summary["coarse_top1"])

    def _record(self, event: Event) -> Event:
        """Write an event down; progress only where nothing else was said for a while."""
        if not self.world.first:
            return event
        if isinstance(event, Progress) and time.monotonic() - self.said_at < _PROGRESS_EVERY:
            return event
        if isinstance(event, StepLogged):
            event = replace(event, memory=self.memory.bytes())
        self.run.append(event)
        self.said_at = time.monotonic()
        return event

    def _save(self) -> None:
        """Write down all that resuming needs, together with how much of the events it knows of."""
        if self.training is None or self.normalization is None:
            return
        tensors, facts = self.training.state()
        self.saved_at = time.monotonic()
        if not self.world.first:
            return
        if self.training.best is not None:
            self._save_best(self.training.best, self.normalization)
        facts |= {
            "metrics_bytes": self.run.flush(),
            "times": self.stopwatch.state(),
            "normalization": [self.normalization.mean, self.normalization.std],
        }
        write_tensors(self.run.last_file, tensors, {"resume": json.dumps(facts)})
        self.saved_at = time.monotonic()  # once more: it can take a while

    def _save_best(self, best: Best, normalization: Normalization) -> None:
        if self.world.first and best is not self.written:
            config = ModelConfig(
                arch=self.recipe.arch,
                stem=self.recipe.stem,
                image_size=best.image_size,
                normalization=normalization,
                labels=self.recipe.dataset.labels,
            )
            save_checkpoint(self.run.path, config, best.weights)
            self.written = best

    def _fail(self, error: Exception) -> RunFailed:
        """Keep the best weights so far, and say in a sentence why the run ends here."""
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
                self._save_best(self.training.best, self.normalization)
        return event
