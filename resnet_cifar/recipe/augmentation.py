"""Augmentation settings: the random transforms of a training batch, and named presets."""

from dataclasses import dataclass

from resnet_cifar.recipe.limits import check_one_of, check_range

FLIPS = ("none", "random", "alternating")


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Random transforms of a training batch; the default changes nothing."""

    crop_padding: float = 0.0
    """Largest shift of an image, as a fraction of its side; the gap is filled by reflection at the edge."""
    flip: str = "none"
    """none; random: mirror horizontally with probability 1/2; alternating: mirror each image in every other epoch, a
    random half of the images in the first (Jordan 2024, section 3.6)."""
    random_erasing: float = 0.0
    """Probability of filling one rectangle with grey (Zhong et al. 2017)."""
    mixup: float = 0.0
    """Probability of blending two images and their labels (Zhang et al. 2017)."""
    cutmix: float = 0.0
    """Probability of pasting a rectangle of another image (Yun et al. 2019)."""
    trivial_augment: bool = False
    """Whether to apply one random operation at a random strength (TrivialAugment, Mueller and Hutter 2021)."""

    def __post_init__(self) -> None:
        check_range("augmentation.crop_padding", self.crop_padding, 0, 0.5)
        check_one_of("augmentation.flip", self.flip, FLIPS)
        for name in ("random_erasing", "mixup", "cutmix"):
            check_range(f"augmentation.{name}", getattr(self, name), 0, 1)
        check_range("augmentation.mixup + augmentation.cutmix", self.mixup + self.cutmix, 0, 1)

    @property
    def mixes(self) -> bool:
        """Whether images and their labels are mixed."""
        return self.mixup + self.cutmix > 0


AUGMENTATIONS = {
    "none": Augmentation(),
    "flip": Augmentation(flip="random"),
    "standard": Augmentation(flip="random", crop_padding=1 / 8),
    "erase": Augmentation(flip="random", crop_padding=1 / 8, random_erasing=0.25),
    "trivial": Augmentation(flip="random", crop_padding=1 / 8, random_erasing=0.25, trivial_augment=True),
    "strong": Augmentation(flip="random", crop_padding=1 / 8, random_erasing=0.25, mixup=0.4, cutmix=0.4),
    "strongest": Augmentation(
        flip="random", crop_padding=1 / 8, random_erasing=0.25, mixup=0.4, cutmix=0.4, trivial_augment=True
    ),
}
