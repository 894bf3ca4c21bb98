"""Splits, images and labels as tensors, and the three splits of a run."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_cifar.recipe.datasets import DatasetSpec


@dataclass(frozen=True)
class Split:
    """Images (N, 3, side, side) uint8 and their labels (N,) int64."""

    images: Tensor
    labels: Tensor
    spec: DatasetSpec
    """Data set that the images belong to."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "Split":
        """Return the images at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices], self.spec)

    def to(self, device: torch.device) -> "Split":
        """Return a copy on another device."""
        return Split(self.images.to(device), self.labels.to(device), self.spec)


@dataclass(frozen=True)
class Dataset:
    """The splits of a run: to learn from, to choose the best epoch with, and to report."""

    train: Split
    val: Split
    test: Split
