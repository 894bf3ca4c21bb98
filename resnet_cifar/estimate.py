"""What a run will cost on this machine: told from earlier runs, or else from a short trial in the background."""

import threading
from dataclasses import dataclass

import torch

from resnet_cifar import cost, locks
from resnet_cifar.config import Recipe, Stage
from resnet_cifar.device import identity
from resnet_cifar.errors import UserError
from resnet_cifar.record import Record, Records
from resnet_cifar.trial import Trial, try_out

_Key = tuple[object, ...]


@dataclass(frozen=True)
class Estimate:
    """What a run will cost, roughly."""

    seconds: float
    images_per_second: float
    """In training, over all stages."""
    bytes: int | None
    """Of memory at its peak; None where it could not be tried out."""
    earlier_run: str | None
    """Whose speed it is told by; None: a trial's."""


class Estimates:
    """Tells what recipes cost, and tries out what it does not know yet."""

    def __init__(self, records: Records, device: torch.device) -> None:
        self._records = records
        self._device = device
        self._trials: dict[_Key, Trial | None] = {}
        self._lock = threading.Lock()

    def of(self, recipe: Recipe) -> Estimate | None:
        """What a recipe costs; None while that is being tried out, or while a run keeps the device busy."""
        seconds = images = training = 0.0
        memory: list[int] = []
        earlier, pace = None, 0.0
        for stage in recipe.stages:
            trial = self._trial(recipe, stage)
            earlier, known = self._earlier(recipe, stage)
            if known is None and trial is None:
                return None
            pace = known or (trial.macs_per_second if trial else 0.0)
            memory += [trial.bytes] if trial else []
            seconds += cost.stage_macs(recipe, stage) / pace
            images += stage.epochs * cost.training_images(recipe)
            training += stage.epochs * cost.epoch_macs(recipe, stage) / pace
        seconds += cost.testing_macs(recipe) / pace
        return Estimate(seconds, images / training, max(memory, default=None), earlier)

    def _earlier(self, recipe: Recipe, stage: Stage) -> tuple[str | None, float | None]:
        """The newest run with such a stage on such a device, and its pace in multiply-accumulates per second."""
        for name in self._records.names():
            try:
                record = self._records.get(name)
            except UserError:
                continue
            pace = _pace(record, recipe, stage, self._device)
            if pace is not None:
                return name, pace
        return None, None

    def _trial(self, recipe: Recipe, stage: Stage) -> Trial | None:
        key = (recipe.arch, recipe.stem, recipe.precision, stage.image_size, stage.batch_size, stage.trainable)
        with self._lock:
            known = key in self._trials
            if known or locks.holder(locks.device_file(identity(self._device))) is not None:
                return self._trials.get(key)
            self._trials[key] = None
        threading.Thread(target=self._try, args=(key, recipe, stage), daemon=True).start()
        return None

    def _try(self, key: _Key, recipe: Recipe, stage: Stage) -> None:
        with _ONE_AT_A_TIME:
            self._trials[key] = try_out(recipe, stage, self._device)


_ONE_AT_A_TIME = threading.Lock()


def _pace(record: Record, recipe: Recipe, stage: Stage, device: torch.device) -> float | None:
    said, ran = record.said, record.recipe
    if said.begun is None or torch.device(said.begun.device).type != device.type:
        return None
    if (ran.arch, ran.stem) != (recipe.arch, recipe.stem):
        return None
    for ended in reversed(said.epochs):
        other = ran.stages[ended.stage]
        alike = (other.image_size, other.trainable) == (stage.image_size, stage.trainable)
        if alike and not other.caches_features and ended.images_per_second:
            return ended.images_per_second * cost.step_macs(ran, other)
    return None
