"""Where a stage's batches come from: images, or features of them that were computed beforehand.

Both kinds of source answer to the same two calls, so that one loop and one evaluation serve them.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from resnet_cifar.data.augment import augment, mix
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation

# Pixels of an evaluation batch with the stock stem: on 2 cores a quarter of a second, on a GPU about a gigabyte.
_PIXELS = {"cpu": 64 * 96 * 96, "cuda": 256 * 224 * 224}
_CIFAR_STEM = 16  # what a pixel costs with the CIFAR stem, relative to the stock stem
_FEATURE_BATCH = 8192


class Source(Protocol):
    """What is trained or evaluated on."""

    labels: Tensor
    """(N,) int64."""
    classes: int
    evaluation_batch: int

    def training_batch(
        self, indices: Tensor, epoch: int, generator: torch.Generator, part: slice
    ) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a part of the batch of images at `indices`.

        Targets are labels (B,), or shares of each class (B, classes) where images are mixed. Draws are made for the
        whole batch, so that it comes out the same however it is divided.
        """

    def inputs(self, start: int, stop: int) -> Tensor:
        """What stands at start .. stop - 1, unaugmented."""


class Images:
    """Batches of augmented, preprocessed images, made where the split lives."""

    def __init__(
        self,
        split: Split,
        preprocess: Preprocess,
        stem: str,
        policy: Callable[[int], Augmentation] = lambda _: AUGMENTATIONS["none"],
        mirrored_first: Tensor | None = None,
    ) -> None:
        """`policy`: augmentation of each epoch. `mirrored_first`: (N,) bool, the images that an alternating flip
        mirrors in even epochs; the others are mirrored in odd ones.
        """
        self.labels = split.labels
        self.classes = len(split.spec.labels)
        self._images = split.images
        self._preprocess = preprocess
        self._policy = policy
        self._mirrored_first = mirrored_first
        cost = preprocess.image_size**2 * (_CIFAR_STEM if stem == "cifar" else 1)
        self.evaluation_batch = max(1, _PIXELS[split.images.device.type] // cost)

    def training_batch(
        self, indices: Tensor, epoch: int, generator: torch.Generator, part: slice
    ) -> tuple[Tensor, Tensor]:
        """Images (B, 3, image_size, image_size), augmented anew, and their targets."""
        policy = self._policy(epoch)
        mirrored = self._mirrored(indices, epoch) if policy.flip == "alternating" else None
        images, labels = augment(self._images[indices], policy, generator, mirrored), self.labels[indices]
        if not policy.mixes:
            return self._preprocess(images[part]), labels[part]
        with_one_before = torch.arange(part.start - 1, part.stop, device=images.device) % len(images)
        ready = self._preprocess(images[with_one_before])
        return mix(ready[1:], ready[:-1], labels, part, self.classes, policy, generator)

    def _mirrored(self, indices: Tensor, epoch: int) -> Tensor | None:
        if self._mirrored_first is None:
            return None
        return self._mirrored_first[indices] ^ bool(epoch % 2)

    def inputs(self, start: int, stop: int) -> Tensor:
        """Images (B, 3, image_size, image_size) as they are."""
        return self._preprocess(self._images[start:stop])


class Features:
    """What the backbone makes of each image, (views, N, 512); an epoch takes one view after the other."""

    evaluation_batch = _FEATURE_BATCH

    def __init__(self, views: Tensor, split: Split) -> None:
        self.labels = split.labels
        self.classes = len(split.spec.labels)
        self._views = views

    def training_batch(
        self, indices: Tensor, epoch: int, generator: torch.Generator, part: slice
    ) -> tuple[Tensor, Tensor]:
        """Features (B, 512) of the epoch's view, and labels."""
        return self._views[epoch % len(self._views)][indices[part]], self.labels[indices[part]]

    def inputs(self, start: int, stop: int) -> Tensor:
        """Features (B, 512) of the first view."""
        return self._views[0, start:stop]
