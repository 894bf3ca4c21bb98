"""Sources of a stage's batches: images, or features that were computed from them before.

Both kinds have the same methods, so one loop and one evaluation work with either.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from resnet_cifar.data.augment import augment, mix
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation

# Pixels of an evaluation batch with the stock stem: what a CPU's caches hold of a layer; on a GPU about a gigabyte.
_PIXELS = {"cpu": 16 * 128 * 128, "cuda": 256 * 224 * 224}
_CIFAR_STEM = 16  # cost of a pixel with the CIFAR stem, relative to the stock stem, which downsamples 4x first
_FEATURE_BATCH = 8192


class Source(Protocol):
    """Images or features to train or evaluate on."""

    labels: Tensor
    """(N,) int64."""
    classes: int
    evaluation_batch: int
    """Batch size for evaluation."""

    def training_batch(
        self, indices: Tensor, epoch: int, generator: torch.Generator, shard: slice
    ) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of one shard of the batch at `indices`.

        Targets are labels (B,), or probabilities (B, classes) if images are mixed. Random draws are made for the whole
        batch, so its images do not depend on how it is sharded.
        """

    def inputs(self, start: int, stop: int) -> Tensor:
        """Return the inputs at start .. stop - 1, without augmentation."""


class Images:
    """Augmented and preprocessed images, computed on the split's device."""

    def __init__(
        self,
        split: Split,
        preprocess: Preprocess,
        stem: str,
        policy: Callable[[int], Augmentation] = lambda _: AUGMENTATIONS["none"],
        mirrored_first: Tensor | None = None,
    ) -> None:
        """`policy` returns the augmentation of an epoch.

        mirrored_first: (N,) bool, the images that an alternating flip mirrors in even epochs; it mirrors the others
        in odd epochs.
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
        self, indices: Tensor, epoch: int, generator: torch.Generator, shard: slice
    ) -> tuple[Tensor, Tensor]:
        """Return newly augmented images (B, 3, image_size, image_size) and their targets."""
        policy = self._policy(epoch)
        mirrored = self._mirrored(indices, epoch) if policy.flip == "alternating" else None
        images, labels = augment(self._images[indices], policy, generator, mirrored), self.labels[indices]
        if not policy.mixes:
            return self._preprocess(images[shard]), labels[shard]
        # Each image is mixed with the one before it: the shard needs one more, which for image 0 is the batch's last.
        indices_with_previous = torch.arange(shard.start - 1, shard.stop, device=images.device) % len(images)
        ready = self._preprocess(images[indices_with_previous])
        return mix(ready[1:], ready[:-1], labels, shard, self.classes, policy, generator)

    def _mirrored(self, indices: Tensor, epoch: int) -> Tensor | None:
        """(B,) bool, the images that an alternating flip mirrors in this epoch."""
        if self._mirrored_first is None:
            return None
        return self._mirrored_first[indices] ^ bool(epoch % 2)

    def inputs(self, start: int, stop: int) -> Tensor:
        """Return images (B, 3, image_size, image_size) without augmentation."""
        return self._preprocess(self._images[start:stop])


class Features:
    """Cached features of the backbone, (views, N, features); epochs use the views in turn."""

    evaluation_batch = _FEATURE_BATCH

    def __init__(self, views: Tensor, split: Split) -> None:
        self.labels = split.labels
        self.classes = len(split.spec.labels)
        self._views = views

    def training_batch(
        self, indices: Tensor, epoch: int, generator: torch.Generator, shard: slice
    ) -> tuple[Tensor, Tensor]:
        """Return features (B, features) of the epoch's view, and labels."""
        return self._views[epoch % len(self._views)][indices[shard]], self.labels[indices[shard]]

    def inputs(self, start: int, stop: int) -> Tensor:
        """Return features (B, features) of the first view."""
        return self._views[0, start:stop]
