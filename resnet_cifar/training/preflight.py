"""What must hold before a run may start: nobody else trains on the device, and nothing is seen to fail."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import torch

from resnet_cifar.data.dataset import check_folder
from resnet_cifar.data.preprocess import CIFAR100, IMAGENET
from resnet_cifar.errors import UserError
from resnet_cifar.events import RunCompleted
from resnet_cifar.model.distillation import read_teacher
from resnet_cifar.model.initial import build, read_file
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.runs import locks
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system import files
from resnet_cifar.system.device import describe, identity


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


def check(recipe: Recipe, data_dir: Path | None, device: torch.device, processes: int = 1) -> None:
    """Refuse, before a folder is made, what can be seen now to fail later. Raises UserError."""
    check_batches(recipe, processes)
    check_free(device)
    check_folder(recipe.data, data_dir)
    normalization = IMAGENET if recipe.init == "imagenet" else CIFAR100
    if recipe.init not in ("scratch", "imagenet"):
        start = read_file(Path(recipe.init))
        build(recipe, start)
        normalization = start.normalization
    if recipe.teacher is not None:
        read_teacher(recipe, torch.device("cpu"), normalization, nullcontext)
        _check_val(recipe, RunDir(Path(recipe.teacher)))


def _check_val(recipe: Recipe, teacher: RunDir) -> None:
    """Refuse a teacher that has learned from the images that the run is to be judged by, as far as it says so."""
    if not recipe.val_images or not teacher.recipe_file.exists():
        return
    theirs = teacher.recipe()
    apart = theirs.seed == recipe.seed and theirs.val_images >= recipe.val_images
    if theirs.data == recipe.data and not apart:
        raise UserError(
            f"the teacher {teacher.path} learned from images that would be this run's val; take its --seed "
            f"{theirs.seed} and --val-images {theirs.val_images}, or --val-images 0 to do without."
        )


def check_free(device: torch.device) -> None:
    """Refuse a device on which a run trains. Raises UserError."""
    if (holder := locks.holder(locks.device_file(identity(device)))) is not None:
        raise _busy(device, holder)


def check_unfinished(run: RunDir) -> None:
    """Refuse to go on with a completed run. Raises UserError."""
    if isinstance(run.last_event(), RunCompleted):
        raise UserError(f"run {run.name!r} is completed; start a new one, for instance with --init {run.handle}.")


def check_batches(recipe: Recipe, processes: int) -> None:
    """Refuse batches that leave a process with a single image, of which BatchNorm could make nothing."""
    for stage in recipe.stages:
        if stage.batch_size < 2 * processes:
            raise UserError(
                f"stage {stage.name!r} has batches of {stage.batch_size} for {processes} processes; each needs two "
                "images at least: take a larger --batch-size or fewer processes."
            )


def _busy(device: torch.device, holder: locks.Holder) -> UserError:
    return UserError(
        f"the {describe(device)} is busy with run {holder.note!r}; stop that one, or wait for its end. "
        "One run at a time trains on a device."
    )
