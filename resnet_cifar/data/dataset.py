"""Data of a recipe: the official splits, with val held out from train."""

from collections.abc import Generator
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from resnet_cifar.data.split import Dataset, Split
from resnet_cifar.events import Progress
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import DATASETS


def load(recipe: Recipe, data_dir: Path | None, device: torch.device) -> Generator[Progress, None, Dataset]:
    """Load a recipe's data onto `device`; without a folder, download it first.

    Raises UserError if the data is missing or damaged, or the download fails.
    """
    train, test = yield from official_splits(recipe.data, data_dir)
    order = balanced_order(train.labels, recipe.seed)
    wanted = recipe.train_images or len(train) - recipe.val_images
    val_order, train_order = order[: recipe.val_images], order[recipe.val_images : recipe.val_images + wanted]
    return Dataset(train.take(train_order).to(device), train.take(val_order).to(device), test.to(device))


def official_splits(data: str, data_dir: Path | None) -> Generator[Progress, None, tuple[Split, Split]]:
    """Load the whole train and test splits of a data set onto the CPU.

    Raises UserError like `load`.
    """
    return (yield from import_module(DATASETS[data].module).splits(data_dir))


def check_folder(data: str, data_dir: Path | None) -> None:
    """Raise UserError if a folder is given and lacks the data set."""
    if data_dir is not None:
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
