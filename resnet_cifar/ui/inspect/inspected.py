"""What is stored of the models that the page offers, remembered until their files change."""

import os
from functools import lru_cache
from pathlib import Path

from resnet_cifar.data.split import Split
from resnet_cifar.errors import UserError
from resnet_cifar.inspection import predictions
from resnet_cifar.inspection.predictions import FOLDER, Predictions
from resnet_cifar.model.checkpoint import CONFIG, MODEL
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.ui.classify.models import Models

SPLITS = ("test", "val")
HIDDEN = "The images are shown only to those who may change runs: they are somebody's own."


class Inspected:
    """Stored results and images of the data set, by a model's name."""

    def __init__(self, models: Models) -> None:
        self.models = models

    def run(self, name: str) -> RunDir:
        """Return a model's folder. Raises UserError if there is no such model."""
        return RunDir(self.models.folder(name))

    def predictions(self, name: str, split: str) -> Predictions | None:
        """Return the stored predictions of a model; None if there are none."""
        folder = self.run(name).path
        return _stored(folder, split, stamps(folder))

    def needed(self, name: str, split: str) -> Predictions:
        """Return the stored predictions of a model. Raises UserError if there are none."""
        found = self.predictions(name, split)
        if found is None:
            raise UserError(f"{name} has not been inspected on {split} yet, or its weights have changed since.")
        return found

    def has_val(self, name: str) -> bool:
        """Return whether a model's recipe held val images out."""
        run = self.run(name)
        return run.recipe_file.is_file() and run.recipe().val_images > 0

    def images(self, name: str, split: str) -> Split:
        """Return the images behind the rows of predictions.

        Raises UserError if the data set is not at hand, or is not for the visitor to see.
        """
        if self.models.hides_images(name):
            raise UserError(HIDDEN)
        run = self.run(name)
        return _images(run.path, split, data_folder(), _stamp(run.recipe_file))


def data_folder() -> Path | None:
    """Return the folder of CIFAR-100 that the machine's owner has named, if any."""
    named = os.environ.get("CIFAR100_DIR")
    return Path(named).expanduser().resolve() if named else None


def stamps(folder: Path) -> tuple[int, ...]:
    """Return stamps of everything that stored results depend on; results are replaced, never changed in place."""
    return tuple(_stamp(folder / name) for name in (MODEL, CONFIG, FOLDER))


def _stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=8)
def _stored(folder: Path, split: str, _stamps: tuple[int, ...]) -> Predictions | None:
    return predictions.stored(RunDir(folder), split)


@lru_cache(maxsize=3)
def _images(folder: Path, split: str, data_dir: Path | None, _stamp: int) -> Split:
    return predictions.images(RunDir(folder), split, data_dir)
