"""A synthetic data set with CIFAR-100's classes, generated in memory, that a network learns in seconds."""

from collections.abc import Generator
from pathlib import Path

import torch
import torch.nn.functional as F

from resnet_cifar.data.split import Split
from resnet_cifar.events import Progress
from resnet_cifar.recipe.datasets import DATASETS


def check(data_dir: Path) -> None:
    """Accept any folder: nothing is read from it."""


def splits(data_dir: Path | None) -> Generator[Progress, None, tuple[Split, Split]]:
    """Generate the train and test splits, on the CPU."""
    yield from ()
    spec = DATASETS["synthetic"]
    return _split(spec.train_images, seed=1), _split(spec.test_images, seed=2)


def _split(count: int, seed: int) -> Split:
    """Generate images: each class is a blurred pattern, the same in both splits, plus noise."""
    spec = DATASETS["synthetic"]
    classes, size = len(spec.labels), (spec.side, spec.side)
    patterns = torch.randint(0, 256, (classes, 3, 4, 4), generator=torch.Generator().manual_seed(0)).float()
    patterns = F.interpolate(patterns, size=size, mode="bilinear")
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    noise = torch.randint(-64, 65, (count, 3, *size), generator=generator, dtype=torch.int16)
    return Split((patterns[labels] + noise).clamp_(0, 255).to(torch.uint8), labels, spec)
