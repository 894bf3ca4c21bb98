"""CIFAR-100 as uint8 tensors that live on the device; splits, and the one way from uint8 to what a network wants."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.data.cifar100 import download, find
from resnet_cifar.data.classes import FINE
from resnet_cifar.data.preprocess import SIDE
from resnet_cifar.events import Progress
from resnet_cifar.recipe.config import Recipe


@dataclass(frozen=True)
class Split:
    """Images (N, 3, 32, 32) uint8 and their labels (N,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "Split":
        """The images at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> "Split":
        """The same on another device."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """What a run learns from, chooses with and reports on."""

    train: Split
    val: Split
    test: Split


def load(recipe: Recipe, data_dir: Path | None, device: torch.device) -> Generator[Progress, None, Dataset]:
    """The data of a recipe, on `device`. Downloads it where no folder is named.

    Raises UserError where the data is missing or damaged, or can't be downloaded.
    """
    train, test = yield from load_official_splits(recipe.data, data_dir)
    order = balanced_order(train.labels, recipe.seed)
    wanted = recipe.train_images or len(train) - recipe.val_images
    val_order, train_order = order[: recipe.val_images], order[recipe.val_images : recipe.val_images + wanted]
    return Dataset(train.take(train_order).to(device), train.take(val_order).to(device), test.to(device))


def load_official_splits(data: str, data_dir: Path | None) -> Generator[Progress, None, tuple[Split, Split]]:
    """Train, nothing cut from it, and test of `cifar100` or `synthetic`, on the CPU. Raises UserError like `load`."""
    if data == "synthetic":
        return _synthetic(10_000, seed=1), _synthetic(1_000, seed=2)
    root = (yield from download()) if data_dir is None else find(data_dir)
    return _official(root, train=True), _official(root, train=False)


def balanced_order(labels: Tensor, seed: int) -> Tensor:
    """A random order of all images in which any first n hold the classes in equal parts, give or take one."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    by_class = torch.argsort(shuffled, stable=True)
    counts = torch.bincount(shuffled)
    firsts = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    rank = torch.empty_like(order)
    rank[by_class] = torch.arange(len(labels)) - firsts  # how many of its class come before it
    return order[torch.argsort(rank, stable=True)]


def _official(root: Path, train: bool) -> Split:
    from torchvision.datasets import CIFAR100 as Official

    official = Official(root, train=train)
    return Split(torch.from_numpy(official.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(official.targets))


def _synthetic(count: int, seed: int) -> Split:
    """Images that a network learns in seconds: each class has a pattern of its own, under noise."""
    patterns = torch.randint(0, 256, (len(FINE), 3, 4, 4), generator=torch.Generator().manual_seed(0)).float()
    patterns = F.interpolate(patterns, size=(SIDE, SIDE), mode="bilinear")
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(FINE)
    noise = torch.randint(-64, 65, (count, 3, SIDE, SIDE), generator=generator, dtype=torch.int16)
    return Split((patterns[labels] + noise).clamp_(0, 255).to(torch.uint8), labels)
