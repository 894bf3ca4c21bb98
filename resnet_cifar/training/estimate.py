"""Estimates of a run's time and memory on this machine, from earlier runs or from short trials in the background."""

import threading
import time
from dataclasses import dataclass, replace
from functools import partial

import torch

from resnet_cifar.errors import UserError
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.runs import locks
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.system.device import choose_precision, identity, is_out_of_memory, release_memory
from resnet_cifar.training.trial import TRIAL_SECONDS, Trial, try_out

_WAITS = 10.0  # seconds without a request after which a queued trial is dropped; a waiting page asks every second
_RETRY_AFTER = 10.0  # seconds for which a failure is reported before the trial is repeated
ONE_AT_A_TIME = threading.Lock()
"""Held by whatever measures or trains in this process, so that no trial is slowed down."""

_Key = tuple[object, ...]


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a run."""

    seconds: float
    images_per_second: float | None
    """Training speed over all stages that do not cache features; None if there is no such stage."""
    bytes: int | None
    """Peak memory; None if no trial could run."""
    earlier_run: str | None
    """Run whose measured speed was used; None if any stage needed a trial."""


@dataclass(frozen=True)
class _Failure:
    reason: UserError
    time: float


class Estimates:
    """Estimates recipes, and runs the trials that are needed for it. Safe to use from several threads."""

    def __init__(self, records: Records, device: torch.device) -> None:
        self._records = records
        self._device = device
        self._trials: dict[_Key, Trial | _Failure | None] = {}  # None: queued or at work
        self._asked: dict[_Key, float] = {}  # when each was last requested, by whatever page
        self._begun: tuple[_Key, float] | None = None
        """The trial at work, and when it began."""
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether a run uses the device, so that no trial can start."""
        return locks.holder(locks.device_file(identity(self._device))) is not None

    def of(self, recipe: Recipe) -> Estimate | None:
        """Estimate a recipe; None while a trial is pending or a run uses the device.

        Raises UserError if a trial failed; the trial is repeated when asked again ten seconds later.
        """
        parts = [part for stage in recipe.stages for part in stage.parts()]
        self._asked |= dict.fromkeys((_key(recipe, part) for part in parts), time.monotonic())
        limit = TRIAL_SECONDS / len(set(map(partial(_key, recipe), parts)))
        trials = [self._trial(recipe, part, limit) for part in parts]
        earlier = [self._earlier(recipe, part) for part in parts]
        seconds = images = training = 0.0
        pace = 1.0
        for part, trial, (_, known) in zip(parts, trials, earlier, strict=True):
            if known is None and trial is None:
                return None
            pace = known or (trial.macs_per_second if trial else 1.0)
            seconds += cost.stage_macs(recipe, part) / pace
            if not part.caches_features:
                images += part.epochs * cost.training_images(recipe)
                training += part.epochs * cost.epoch_macs(recipe, part) / pace
        seconds += cost.testing_macs(recipe) / pace
        sources = {name for name, _ in earlier}
        return Estimate(
            seconds,
            images / training if images else None,
            max(trial.bytes for trial in trials if trial) if all(trials) else None,
            sources.pop() if len(sources) == 1 else None,
        )

    def progress(self, recipe: Recipe) -> float:
        """Fraction of a recipe's pending trials that is done, by the time that they may take on a CPU."""
        keys = {_key(recipe, part) for stage in recipe.stages for part in stage.parts()}
        done = float(sum(isinstance(self._trials.get(key), Trial) for key in keys))
        begun = self._begun
        if begun is not None and begun[0] in keys:
            done += min(0.9, (time.monotonic() - begun[1]) * len(keys) / TRIAL_SECONDS)
        return done / len(keys)

    def rough(self, recipe: Recipe) -> float | None:
        """Estimate a recipe's seconds without a trial, so that it can be asked for all recipes at once.

        Where the speed of a part is unknown, that of another image size with the same network stands in; None if there
        is none.
        """
        seconds, pace = 0.0, None
        for stage in recipe.stages:
            for part in stage.parts():
                pace = self._known_pace(recipe, part)
                if pace is None:
                    return None
                seconds += cost.stage_macs(recipe, part) / pace
        return seconds + cost.testing_macs(recipe) / (pace or 1.0)

    def _known_pace(self, recipe: Recipe, part: Stage) -> float | None:
        """Multiply-accumulates per second of a stage, or else of any stage of the same network."""
        exact = self._earlier(recipe, part)[1]
        if exact is None and isinstance(trial := self._trials.get(_key(recipe, part)), Trial):
            exact = trial.macs_per_second
        if exact is not None:
            return exact
        network = _key(recipe, part)[:3]
        trials = [one for key, one in list(self._trials.items()) if key[:3] == network and isinstance(one, Trial)]
        return trials[-1].macs_per_second if trials else self._earlier(recipe, part, any_size=True)[1]

    def _earlier(self, recipe: Recipe, stage: Stage, *, any_size: bool = False) -> tuple[str | None, float | None]:
        """Name and speed (multiply-accumulates per second) of the newest run with a similar stage and device.

        `any_size`: any stage with the same network will do.
        """
        precision = choose_precision(recipe.precision, self._device)
        for name in self._records.names():
            try:
                record = self._records.get(name)
            except UserError:
                continue
            begun = record.events.start
            if begun is None or (begun.device.partition(":")[0], begun.precision) != (self._device.type, precision):
                continue
            pace = _pace(record, recipe, stage, any_size)
            if pace is not None:
                return name, pace
        return None, None

    def _trial(self, recipe: Recipe, stage: Stage, limit: float) -> Trial | None:
        """The trial's result, if there is one; otherwise queue it. Raises UserError if it failed just now."""
        key = _key(recipe, stage)
        with self._lock:
            known = self._trials.get(key)
            if isinstance(known, _Failure):
                if time.monotonic() - known.time < _RETRY_AFTER:
                    raise known.reason
                del self._trials[key]
            if key not in self._trials and not self.busy:
                self._trials[key] = known = None
                threading.Thread(target=self._try, args=(key, recipe, stage, limit), name="trial", daemon=True).start()
        return known if isinstance(known, Trial) else None

    def _try(self, key: _Key, recipe: Recipe, stage: Stage, limit: float) -> None:
        with ONE_AT_A_TIME:
            if self.busy or time.monotonic() - self._asked[key] > _WAITS:  # changed while the trial was queued
                with self._lock:
                    del self._trials[key]
                return
            self._begun = key, time.monotonic()
            try:
                self._trials[key] = try_out(recipe, stage, self._device, limit)
            except Exception as error:  # whatever it is: a page waits for an answer
                words = f"{type(error).__name__}: {error}".splitlines()[0]
                why = "there is not enough memory" if is_out_of_memory(error) else words
                reason = UserError(f"the trial of stage {stage.name!r} failed: {why}.")
                self._trials[key] = _Failure(reason, time.monotonic())
            finally:
                self._begun = None
                release_memory(self._device)  # for the run that may start next


def _key(recipe: Recipe, stage: Stage) -> _Key:
    """Everything that the result of a trial depends on."""
    network = recipe.arch, recipe.stem, recipe.precision, recipe.teacher is None
    images = recipe.own or recipe.data, recipe.train_images, recipe.val_images
    step = stage.image_size, stage.batch_size, stage.augmentation, stage.trainable, stage.views, stage.ema_decay > 0
    keeps_best = sum(stage.epochs for stage in recipe.stages) > 1
    return *network, *images, *step, keeps_best


def _pace(record: Record, recipe: Recipe, stage: Stage, any_size: bool) -> float | None:
    """Multiply-accumulates per second of a record's last epoch that resembles `stage`, if any."""
    ran = record.recipe
    if (ran.arch, ran.stem) != (recipe.arch, recipe.stem):
        return None
    for ended in reversed(record.events.epochs):
        other = replace(ran.stages[ended.stage], progression=(), image_size=ended.image_size)
        alike = any_size or (other.image_size, other.trainable) == (stage.image_size, stage.trainable)
        if alike and not other.caches_features and ended.images_per_second:
            return ended.images_per_second * cost.step_macs(ran, other)
    return None
