"""The named recipes. What has been measured of them is in benchmarks/EXPERIMENTS.md."""

from dataclasses import replace

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.config import HEAD, Change, Recipe, Stage

_QUICK = Recipe(
    name="quick",
    about="a first try, two to three minutes on two CPU cores",
    stages=(
        Stage(
            name="everything", epochs=3, lr=0.1, batch_size=64, augmentation=AUGMENTATIONS["flip"], warmup_epochs=0.3
        ),
    ),
    train_images=12_000,
    val_images=2_000,
    log_every=10,
)

_SMALL_BUDGET = Recipe(
    name="small-budget",
    about="a first real model without a GPU: stock stem at 64 px, one to two hours on two CPU cores",
    stages=(
        Stage(
            name="everything",
            epochs=24,
            lr=0.1,
            image_size=64,
            augmentation=AUGMENTATIONS["standard"],
            warmup_epochs=2,
            label_smoothing=0.1,
            ema_decay=0.998,
        ),
    ),
    val_images=2_500,
)

_ALTERNATING = Augmentation(flip="alternating", crop_padding=1 / 8)

_SCRATCH = Recipe(
    name="scratch",
    about="random initial weights: stock stem at 128 px, strong augmentation, EMA",
    stages=(
        Stage(
            name="everything",
            epochs=240,
            lr=0.4,
            batch_size=512,
            image_size=128,
            augmentation=replace(_ALTERNATING, trivial_augment=True, cutmix=0.5),
            no_mix_fraction=0.04,
            warmup_epochs=4,
            label_smoothing=0.1,
            ema_decay=0.999,
        ),
    ),
    val_images=2_500,
)

_OVERNIGHT = Recipe(
    name="overnight",
    about="stock stem, image size growing from 64 to 128 px, a night on two CPU cores",
    stages=(
        Stage(
            name="everything",
            epochs=96,
            lr=0.1,
            image_size=64,
            augmentation=_ALTERNATING,
            progression=(
                Change(after=0.5, image_size=96, augmentation=replace(_ALTERNATING, trivial_augment=True, cutmix=0.25)),
                Change(
                    after=0.8,
                    image_size=128,
                    augmentation=replace(_ALTERNATING, trivial_augment=True, cutmix=0.5, random_erasing=0.25),
                ),
            ),
            no_mix_fraction=1 / 32,
            schedule="linear",
            warmup_epochs=2,
            label_smoothing=0.1,
            ema_decay=0.999,
        ),
    ),
    val_images=2_500,
)

_SPRINT = Recipe(
    name="sprint",
    about="for speed on a GPU: CIFAR stem at 32 px, large batches, one cycle",
    stages=(
        Stage(
            name="everything",
            epochs=16,
            lr=0.4,
            batch_size=512,
            augmentation=AUGMENTATIONS["standard"],
            warmup_epochs=3,
            label_smoothing=0.1,
            ema_decay=0.99,
        ),
    ),
    stem="cifar",
)

_TRANSFER = Recipe(
    name="transfer",
    about="ImageNet weights at 224 px: the head, then all layers at a lower rate, then with strong augmentation",
    stages=(
        Stage(
            name="head",
            epochs=100,
            lr=0.1,
            trainable=HEAD,
            batch_size=256,
            image_size=224,
            weight_decay=1e-4,
        ),
        Stage(
            name="everything",
            epochs=10,
            lr=0.02,
            backbone_lr=0.01,
            layer_decay=0.8,
            image_size=224,
            augmentation=AUGMENTATIONS["standard"],
            warmup_epochs=1,
            weight_decay=1e-4,
            label_smoothing=0.1,
        ),
        Stage(
            name="augmented",
            epochs=30,
            lr=0.02,
            backbone_lr=0.01,
            layer_decay=0.8,
            image_size=224,
            augmentation=AUGMENTATIONS["strong"],
            warmup_epochs=1,
            weight_decay=1e-4,
            label_smoothing=0.1,
            ema_decay=0.999,
        ),
    ),
    init="imagenet",
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (_TRANSFER, _SCRATCH, _OVERNIGHT, _SPRINT, _SMALL_BUDGET, _QUICK)
}

OWN_IMAGES = Recipe(
    name="own",
    about="your own images: the head on a frozen backbone, then all layers at a lower rate",
    stages=(
        Stage(
            name="head",
            epochs=60,
            lr=0.05,
            trainable=HEAD,
            batch_size=64,
            image_size=224,
            augmentation=AUGMENTATIONS["flip"],
        ),
        Stage(
            name="everything",
            epochs=8,
            lr=0.01,
            backbone_lr=0.005,
            layer_decay=0.7,
            batch_size=64,
            image_size=224,
            augmentation=AUGMENTATIONS["standard"],
            warmup_epochs=1,
            label_smoothing=0.1,
            ema_decay=0.98,
        ),
    ),
    init="imagenet",
    log_every=10,
)
"""For a person's own images; not among the named recipes, because it is no use for other data."""


def recipe_named(name: str) -> Recipe:
    """Return a recipe by name. Raises UserError if there is none of that name."""
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}; the recipes are {', '.join(RECIPES)}.")
    return RECIPES[name]
