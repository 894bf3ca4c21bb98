"""Consumers of a run's events that report its metrics to other tools. None of them can make a run fail.

A consumer has `show(event)`, like the terminal's view.
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, Protocol

from resnet_cifar.errors import UserError
from resnet_cifar.events import (
    ENDS,
    EpochEnded,
    Event,
    RunCompleted,
    StageStarted,
    StepLogged,
)
from resnet_cifar.runs.run_dir import RunDir


class Consumer(Protocol):
    """Takes a run's events one by one."""

    def show(self, event: Event) -> None:
        """Take one more event."""


class _Backend(Protocol):
    def log(self, values: dict[str, float], step: int) -> None: ...

    def close(self) -> None: ...


class _TensorBoard:
    """Event files in the run's folder, `tensorboard/`."""

    def __init__(self, run: RunDir) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run.path / "tensorboard"))

    def log(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Trackio:
    """A local trackio run of the run's name, in the project `resnet_cifar`."""

    def __init__(self, run: RunDir) -> None:
        import trackio

        config = dataclasses.asdict(run.recipe())
        self._run: Any = trackio.init(
            project="resnet_cifar",
            name=run.name,
            config=config,
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, values: dict[str, float], step: int) -> None:
        self._run.log(values, step=step)

    def close(self) -> None:
        self._run.finish()


REPORTERS: dict[str, Callable[[RunDir], _Backend]] = {"tensorboard": _TensorBoard, "trackio": _Trackio}
"""By name; each name is also that of the package to install."""


def check_installed(name: str) -> None:
    """Raise UserError if the package of a tool is missing."""
    if find_spec(name) is None:
        raise UserError(f"--report-to {name} needs a package: pip install {name}.")


def reporter(name: str, run: RunDir) -> "Reporter":
    """Start reporting a run to a tool. Raises UserError if it cannot start."""
    try:
        backend = REPORTERS[name](run)
    except Exception as error:
        raise UserError(f"--report-to {name} cannot start: {type(error).__name__}: {error}") from error
    return Reporter(name, backend, (event for event, _ in run.history()))


class Reporter:
    """Sends losses, learning rates and val metrics to a backend, by the number of the step within the whole run."""

    def __init__(self, name: str, backend: _Backend, history: Iterator[Event]) -> None:
        self._name = name
        self._backend: _Backend | None = backend
        self._steps: dict[int, int] = {}
        """Steps per epoch of each stage."""
        self._epochs: dict[int, int] = {}
        """Epochs trained in each stage so far."""
        for event in history:
            self._count(event)

    def show(self, event: Event) -> None:
        """Report an event. If that fails, warn and report no more."""
        self._count(event)
        if self._backend is None:
            return
        try:
            if isinstance(event, StepLogged):
                values = {"train/loss": event.loss, "train/lr": event.lr}
                self._backend.log(values, self._step(event.stage, event.epoch, event.step + 1))
            elif isinstance(event, EpochEnded):
                self._backend.log(_of_epoch(event), self._step(event.stage, event.epoch + 1, 0))
            elif isinstance(event, RunCompleted):
                values = {"test/loss": event.test.loss, "test/top1": event.test.top1, "test/top5": event.test.top5}
                self._backend.log(values, self._step(max(self._steps), self._epochs[max(self._steps)], 0))
            if isinstance(event, ENDS):
                self._backend.close()
        except Exception as error:
            self._backend = None
            warnings.warn(f"reporting to {self._name} failed, and training goes on: {error}", stacklevel=2)

    def _count(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._steps[event.stage], self._epochs[event.stage] = event.steps, 0
        elif isinstance(event, EpochEnded):
            self._epochs[event.stage] = event.epoch + 1

    def _step(self, stage: int, epoch: int, step: int) -> int:
        before = sum(self._steps[earlier] * self._epochs[earlier] for earlier in self._steps if earlier < stage)
        return before + epoch * self._steps[stage] + step


def _of_epoch(event: EpochEnded) -> dict[str, float]:
    values = {"train/top1": event.train_top1}
    for name, metrics in (("val", event.val), ("ema_val", event.ema_val)):
        if metrics is not None:
            values |= {f"{name}/loss": metrics.loss, f"{name}/top1": metrics.top1, f"{name}/top5": metrics.top5}
    return values
