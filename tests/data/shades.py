"""A data set of three shades, without superclasses: all that adding a data set takes, beside its DatasetSpec."""

from collections.abc import Generator
from pathlib import Path

import torch

from resnet_cifar.data.split import Split
from resnet_cifar.events import Progress
from resnet_cifar.recipe.datasets import DatasetSpec, Normalization

SPEC = DatasetSpec(
    module=__name__,
    labels=("dark", "grey", "light"),
    train_images=300,
    test_images=60,
    side=16,
    normalization=Normalization((0.5, 0.5, 0.5), (0.3, 0.3, 0.3)),
)


def check(data_dir: Path) -> None:
    """Nothing is read from it."""


def splits(data_dir: Path | None) -> Generator[Progress, None, tuple[Split, Split]]:
    yield from ()
    return _split(SPEC.train_images), _split(SPEC.test_images)


def _split(count: int) -> Split:
    labels = torch.arange(count) % 3
    images = (40 + 85 * labels)[:, None, None, None].expand(-1, 3, SPEC.side, SPEC.side)
    noise = torch.randint(-20, 20, images.shape, generator=torch.Generator().manual_seed(count))
    return Split((images + noise).to(torch.uint8), labels, SPEC)
