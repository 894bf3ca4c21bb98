"""Data of a recipe: the official splits, with val held out from train."""

from collections.abc import Generator
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from resnet_cifar.data.own_images import read
from resnet_cifar.data.own_report import SPLITS
from resnet_cifar.data.split import Dataset, Split
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import DATASETS, OWN, OwnData


def load(recipe: Recipe, data_dir: Path | None, device: torch.device) -> Generator[Progress, None, Dataset]:
    """Load a recipe's data onto `device`; without a folder, download it first.

    Raises UserError if the data is missing or damaged, or the download fails.
    """
    if recipe.own is not None:
        return (yield from _own(recipe.own, data_dir, device, bool(recipe.val_images)))
    train, test = yield from official_splits(recipe.data, data_dir)
    order = balanced_order(train.labels, recipe.seed)
    wanted = recipe.train_images or len(train) - recipe.val_images
    val_order, train_order = order[: recipe.val_images], order[recipe.val_images : recipe.val_images + wanted]
    return Dataset(train.take(train_order).to(device), train.take(val_order).to(device), test.to(device))


def _own(facts: OwnData, path: Path | None, device: torch.device, with_val: bool) -> Generator[Progress, None, Dataset]:
    """Load a person's own images, whose splits were made when they were first read; without val, it joins train.

    A part from the start of a split has, as far as it can, as many images of each class.
    """
    if path is None:
        raise UserError("the run's images are your own; name their folder or zip archive with --data.")
    own = yield from read(path, facts.side)
    if own.fingerprint != facts.fingerprint:
        raise UserError(
            f"the images in {path} are not those that the run began with; restore them, or start a new run."
        )
    whole = Split(own.images, own.labels, facts.spec())
    splits = own.splits if with_val else own.splits.where(own.splits != SPLITS.index("val"), SPLITS.index("train"))
    order = balanced_order(own.labels, seed=0)
    train, val, test = (whole.take(order[splits[order] == place]).to(device) for place in range(3))
    return Dataset(train, val, test)


def official_splits(data: str, data_dir: Path | None) -> Generator[Progress, None, tuple[Split, Split]]:
    """Load the whole train and test splits of a data set onto the CPU.

    Raises UserError like `load`, and for a person's own images, which only `load` reads.
    """
    if data == OWN:
        raise UserError("the images that this run learned from are not shown here: they are somebody's own.")
    return (yield from import_module(DATASETS[data].module).splits(data_dir))


def check_folder(data: str, data_dir: Path | None) -> None:
    """Raise UserError if a folder is given and lacks the data set, or a person's own images are not there."""
    if data == OWN:
        if data_dir is None or not data_dir.exists():
            raise UserError(f"the images are not at {data_dir}; read them again, from their folder or archive.")
    elif data_dir is not None:
        import_module(DATASETS[data].module).check(data_dir)


def balanced_order(labels: Tensor, seed: int) -> Tensor:
    """Shuffle so that the first n images, for every n, are balanced: class counts differ by at most one.

    labels: (N,) int64 -> (N,) indices.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    # Sorted by class, an image's position minus that of its class's first image is its rank within the class. Sorting
    # by rank then takes one image of each class, then a second one of each, and so on.
    by_class = torch.argsort(shuffled, stable=True)
    counts = torch.bincount(shuffled)
    firsts = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    rank = torch.empty_like(order)
    rank[by_class] = torch.arange(len(labels)) - firsts
    return order[torch.argsort(rank, stable=True)]
