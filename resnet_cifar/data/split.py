"""Images and labels as tensors: one split, and the three that a run uses."""

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
    """Data set that they are from."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "Split":
        """Images at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices], self.spec)

    def to(self, device: torch.device) -> "Split":
        """Copy on another device."""
        return Split(self.images.to(device), self.labels.to(device), self.spec)


@dataclass(frozen=True)
class Dataset:
    """Splits to learn from, to choose with and to report on."""

    train: Split
    val: Split
    test: Split
