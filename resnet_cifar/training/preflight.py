"""Checks before a run starts: the device is free, and nothing that can be checked early will fail later."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import torch

from resnet_cifar.data.dataset import check_folder
from resnet_cifar.data.preprocess import CIFAR100, IMAGENET
from resnet_cifar.engine.optimizer import check_optimizers
from resnet_cifar.errors import Busy, UserError
from resnet_cifar.events import RunCompleted
from resnet_cifar.model.distillation import read_teacher
from resnet_cifar.model.initial import build, read_file
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import OWN
from resnet_cifar.runs import locks
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system import files
from resnet_cifar.system.device import describe, identity

FINDER = "the learning-rate finder"
"""Note in the lock of a device that the learning-rate finder uses."""


@contextmanager
def using(device: torch.device, note: str, inherited: Sequence[int] = ()) -> Iterator[int]:
    """Hold the lock of a device, and yield its descriptor. Raises Busy if a run trains on it."""
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(locks.locked(locks.device_file(identity(device)), note, None, inherited))
        except locks.Held as error:
            raise _busy(device, error.holder) from error
        except OSError as error:
            raise files.cannot_write(locks.device_file(identity(device)), error) from error
        yield lock


def check(recipe: Recipe, data_dir: Path | None, device: torch.device, processes: int = 1) -> None:
    """Raise UserError for a run that would fail later, before its folder is made, and Busy if it must wait."""
    check_free(device)
    check_request(recipe, data_dir, processes)


def check_request(recipe: Recipe, data_dir: Path | None, processes: int = 1) -> None:
    """Raise UserError for a run that would fail later, whenever it starts."""
    check_batches(recipe, processes)
    check_optimizers(recipe)
    check_folder(recipe.data, data_dir)
    normalization = IMAGENET if recipe.init == "imagenet" else CIFAR100
    if recipe.init not in ("scratch", "imagenet"):
        start = read_file(Path(recipe.init))
        build(recipe, start)
        normalization = start.normalization
        _check_val(recipe, "initial weights", Path(recipe.init))
    if recipe.teacher is not None:
        read_teacher(recipe, torch.device("cpu"), normalization, nullcontext)
        _check_val(recipe, "teacher", Path(recipe.teacher))


def _check_val(recipe: Recipe, role: str, path: Path) -> None:
    """Refuse weights that were trained on this run's val images, if their folder says how they were trained."""
    earlier = RunDir(path if path.is_dir() else path.parent)
    if not recipe.val_images or not earlier.recipe_file.exists():
        return
    theirs = earlier.recipe()
    disjoint = theirs.seed == recipe.seed and theirs.val_images >= recipe.val_images
    if theirs.data == recipe.data != OWN and not disjoint:  # the val of own images is the same in every run
        raise UserError(
            f"the {role} {path} learned from images that would be this run's val, so its val results would be too "
            f"good; use --seed {theirs.seed} with --val-images {theirs.val_images} or fewer, or --val-images 0 to "
            "train without val."
        )


def check_free(device: torch.device) -> None:
    """Raise Busy if a run trains on the device."""
    if (holder := locks.holder(locks.device_file(identity(device)))) is not None:
        raise _busy(device, holder)


def check_unfinished(run: RunDir) -> None:
    """Raise UserError for a completed run."""
    if isinstance(run.last_event(), RunCompleted):
        raise UserError(f"run {run.name!r} is completed; start a new one, for instance with --init {run.handle}.")


def check_batches(recipe: Recipe, processes: int) -> None:
    """Raise UserError if a process would get a single image, on which BatchNorm cannot train."""
    for stage in recipe.stages:
        if stage.batch_size < 2 * processes:
            raise UserError(
                f"stage {stage.name!r} has batches of {stage.batch_size} for {processes} processes; each process "
                "needs at least two images: use a larger --batch-size or fewer processes."
            )


def _busy(device: torch.device, holder: locks.Holder) -> Busy:
    if holder.note == FINDER:
        return Busy(f"the {describe(device)} is busy with {FINDER}; stop it, or wait until it ends.")
    run = f"run {holder.note!r}" if holder.note else "a run that begins at this moment"
    return Busy(
        f"the {describe(device)} is busy with {run}; stop that run, or wait until it ends. "
        "A device trains one run at a time."
    )
