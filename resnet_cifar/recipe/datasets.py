"""Data sets by name: what recipe, cost, network, evaluation and model card need to know of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnet_cifar.decode import brief
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.classes import COARSE, FINE, FINE_TO_COARSE
from resnet_cifar.recipe.limits import check_distinct, check_range, check_text

LARGEST_SIDE = 1024  # pixels
MOST_LABELS = 10_000
_LONGEST_NAME = 255  # characters; file systems take as many


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel, for pixels between 0 and 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        for mean, std in zip(self.mean, self.std, strict=True):
            check_range("mean", mean, -1000, 1000)
            check_range("std", std, 1e-6, 1000)


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec:
    """A data set's fixed facts. The number of classes, everywhere, is the number of its labels."""

    module: str
    """Module whose `splits(data_dir)` reads it and whose `check(data_dir)` refuses a folder that lacks it."""
    labels: tuple[str, ...]
    """Class names, in the order of the label numbers."""
    superclasses: tuple[str, ...] = ()
    """Names of groups of classes; empty where there are none."""
    superclass_of: tuple[int, ...] = ()
    """Index in `superclasses` of each class."""
    train_images: int
    test_images: int
    side: int = 32
    """Pixels a side of the stored images."""
    normalization: Normalization
    """Mean and standard deviation of the train images; a run that starts from ImageNet weights uses theirs instead."""


_EQUAL = 1.25  # times the smallest class, up to which classes count as equal
OWN = "own"
"""Name of the data set that is a person's own images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnData:
    """Facts about a person's own images, so that a run can be understood without them."""

    labels: tuple[str, ...]
    train_counts: tuple[int, ...]
    """Train images of each class."""
    val_images: int
    test_images: int
    side: int
    """Pixels a side of the stored images."""
    fingerprint: str
    """Digest of images, labels and splits."""

    def __post_init__(self) -> None:
        for label in self.labels:
            check_text("own: label", label, _LONGEST_NAME, 1)
        check_text("own: fingerprint", self.fingerprint, _LONGEST_NAME, 1)
        check_range("own: number of labels", len(self.labels), 1, MOST_LABELS)
        check_distinct("own: labels", self.labels)
        if len(self.train_counts) != len(self.labels):
            raise UserError(f"own: train_counts has {len(self.train_counts)} numbers for {len(self.labels)} labels.")
        for name, counts in (
            ("train_counts", self.train_counts),
            ("val_images", (self.val_images,)),
            ("test_images", (self.test_images,)),
        ):
            for count in counts:
                check_range(f"own: {name}", count, 0, 10**8)
        check_range("own: side", self.side, 1, LARGEST_SIDE)

    @property
    def train_images(self) -> int:
        """Train images, without val."""
        return sum(self.train_counts)

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        """Weight of each class's images in the loss; None for classes of about the same size."""
        return class_weights(self.train_counts)

    def spec(self) -> DatasetSpec:
        """Describe the images like any other data set, whose val is part of train."""
        return DatasetSpec(
            module="resnet_cifar.data.own_images",
            labels=self.labels,
            train_images=self.train_images + self.val_images,
            test_images=self.test_images,
            side=self.side,
            normalization=_CIFAR100.normalization,
        )


def check_own(data: str, own: OwnData | None, train_images: int | None, val_images: int) -> None:
    """Raise UserError if fields of a recipe contradict the facts about a person's own images."""
    if (data == OWN) is not (own is not None):
        raise UserError(f"data is {brief(data)}, which does not fit the field own; name the images with --data.")
    if own is not None and (train_images is not None or val_images not in (0, own.val_images)):
        name, value = ("val_images", val_images) if train_images is None else ("train_images", train_images)
        raise UserError(
            f"{name} is {value}, but your own images were split when they were read: {own.train_images} train and "
            f"{own.val_images} val; move files between folders of these names, or use 0 val images."
        )


def class_weights(counts: Sequence[int]) -> tuple[float, ...] | None:
    """Weigh the images of each class so that all classes weigh the same; the mean over all images is 1.

    counts: images of each class. Returns None for classes of about the same size.
    """
    if max(counts) <= _EQUAL * min(counts):
        return None
    mean = sum(counts) / len(counts)
    return tuple(mean / count for count in counts)


_CIFAR100 = DatasetSpec(
    module="resnet_cifar.data.cifar100",
    labels=FINE,
    superclasses=COARSE,
    superclass_of=FINE_TO_COARSE,
    train_images=50_000,
    test_images=10_000,
    normalization=Normalization((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
)

CIFAR100_SOURCES = ("official", "hub")
"""Where CIFAR-100 can be downloaded: the University of Toronto's server, or the Hugging Face Hub."""

DATASETS = {
    "cifar100": _CIFAR100,
    "synthetic": replace(_CIFAR100, module="resnet_cifar.data.synthetic", train_images=10_000, test_images=1_000),
}
