"""Data sets by name: what recipe, cost, network, evaluation and model card need to know of them."""

from dataclasses import dataclass, replace

from resnet_cifar.recipe.classes import COARSE, FINE, FINE_TO_COARSE


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel, for pixels between 0 and 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


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


OWN = "own"
"""Name of the data set that is a person's own images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnData:
    """Facts about a person's own images, so that a run can be understood without them."""

    labels: tuple[str, ...]
    train_images: int
    val_images: int
    test_images: int
    side: int
    """Pixels a side of the stored images."""
    fingerprint: str
    """Digest of images, labels and splits."""

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


_CIFAR100 = DatasetSpec(
    module="resnet_cifar.data.cifar100",
    labels=FINE,
    superclasses=COARSE,
    superclass_of=FINE_TO_COARSE,
    train_images=50_000,
    test_images=10_000,
    normalization=Normalization((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
)

DATASETS = {
    "cifar100": _CIFAR100,
    "synthetic": replace(_CIFAR100, module="resnet_cifar.data.synthetic", train_images=10_000, test_images=1_000),
}
