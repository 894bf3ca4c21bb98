"""What a run will cost on this machine: told from earlier runs, or else from a short trial in the background."""

import threading
from dataclasses import dataclass, replace

import torch

from resnet_cifar.errors import UserError
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.runs import locks
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.system.device import choose_precision, identity, is_out_of_memory, release_memory
from resnet_cifar.training.trial import Trial, try_out

_Key = tuple[object, ...]


@dataclass(frozen=True)
class Estimate:
    """What a run will cost, roughly."""

    seconds: float
    images_per_second: float | None
    """In training, over all stages but those that compute their features once; None where there is no other."""
    bytes: int | None
    """Of memory at its peak; None where it could not be tried out."""
    earlier_run: str | None
    """Whose speed all of it is told by; None where any of it had to be tried out."""


class Estimates:
    """Tells what recipes cost, and tries out what it does not know yet."""

    def __init__(self, records: Records, device: torch.device) -> None:
        self._records = records
        self._device = device
        self._trials: dict[_Key, Trial | UserError | None] = {}
        self._wanted: set[_Key] = set()
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether a run has the device, so that nothing can be tried out."""
        return locks.holder(locks.device_file(identity(self._device))) is not None

    def of(self, recipe: Recipe) -> Estimate | None:
        """What a recipe costs; None while that is being tried out, or while a run keeps the device busy.

        Raises UserError where trying it out failed.
        """
        parts = [part for stage in recipe.stages for part in stage.parts()]
        self._wanted = {_key(recipe, part) for part in parts}
        trials = [self._trial(recipe, part) for part in parts]
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

    def _earlier(self, recipe: Recipe, stage: Stage) -> tuple[str | None, float | None]:
        """The newest run with such a stage on such a device, and its pace in multiply-accumulates per second."""
        precision = choose_precision(recipe.precision, self._device)
        for name in self._records.names():
            try:
                record = self._records.get(name)
            except UserError:
                continue
            begun = record.events.start
            if begun is None or (torch.device(begun.device).type, begun.precision) != (self._device.type, precision):
                continue
            pace = _pace(record, recipe, stage)
            if pace is not None:
                return name, pace
        return None, None

    def _trial(self, recipe: Recipe, stage: Stage) -> Trial | None:
        key = _key(recipe, stage)
        with self._lock:
            if key not in self._trials and not self.busy:
                self._trials[key] = None
                threading.Thread(target=self._try, args=(key, recipe, stage), daemon=True).start()
            known = self._trials.get(key)
        if isinstance(known, UserError):
            raise known
        return known

    def _try(self, key: _Key, recipe: Recipe, stage: Stage) -> None:
        with _ONE_AT_A_TIME:
            if self.busy or key not in self._wanted:  # it had to wait, and things have changed
                del self._trials[key]
                return
            try:
                self._trials[key] = try_out(recipe, stage, self._device)
            except Exception as error:  # whatever it is: somebody waits for an answer
                words = f"{type(error).__name__}: {error}".splitlines()[0]
                why = "it takes more memory than there is" if is_out_of_memory(error) else words
                self._trials[key] = UserError(f"stage {stage.name!r} could not be tried out: {why}.")
            finally:
                release_memory(self._device)  # a run is to have it all


def _key(recipe: Recipe, stage: Stage) -> _Key:
    network = recipe.arch, recipe.stem, recipe.precision, recipe.teacher is None
    return *network, stage.image_size, stage.batch_size, stage.trainable, stage.views, stage.ema_decay > 0


_ONE_AT_A_TIME = threading.Lock()


def _pace(record: Record, recipe: Recipe, stage: Stage) -> float | None:
    ran = record.recipe
    if (ran.arch, ran.stem) != (recipe.arch, recipe.stem):
        return None
    for ended in reversed(record.events.epochs):
        other = replace(ran.stages[ended.stage], progression=(), image_size=ended.image_size)
        alike = (other.image_size, other.trainable) == (stage.image_size, stage.trainable)
        if alike and not other.caches_features and ended.images_per_second:
            return ended.images_per_second * cost.step_macs(ran, other)
    return None
