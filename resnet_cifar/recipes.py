"""The recipes that have a name. Their numbers are starting points until a measurement stands beside them."""

from resnet_cifar.config import AUGMENTS, HEAD, Recipe, Stage
from resnet_cifar.errors import UserError

_QUICK = Recipe(
    name="quick",
    about="a look at everything, two to three minutes on two CPU cores",
    stages=(Stage(name="everything", epochs=3, lr=0.1, batch_size=64, augment=AUGMENTS["flip"], warmup_epochs=0.3),),
    train_images=12_000,
    val_images=2_000,
    log_every=10,
)

_SCRATCH = Recipe(
    name="scratch",
    about="no download: CIFAR stem at 32 px, strong augmentation, averaged weights",
    stages=(
        Stage(
            name="everything",
            epochs=200,
            lr=0.1,
            augment=AUGMENTS["strong"],
            unmixed=0.1,
            warmup_epochs=5,
            label_smoothing=0.1,
            averaging=0.999,
        ),
    ),
    stem="cifar",
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
            augment=AUGMENTS["standard"],
            warmup_epochs=2,
            label_smoothing=0.1,
            averaging=0.998,
        ),
    ),
    val_images=2_500,
)

_SPRINT = Recipe(
    name="sprint",
    about="as accurate as a GPU makes it in well under a minute: CIFAR stem at 32 px, large batches, one cycle",
    stages=(
        Stage(
            name="everything",
            epochs=16,
            lr=0.4,
            batch_size=512,
            augment=AUGMENTS["standard"],
            warmup_epochs=3,
            label_smoothing=0.1,
            averaging=0.99,
        ),
    ),
    stem="cifar",
)

_TRANSFER = Recipe(
    name="transfer",
    about="ImageNet weights at 224 px: the head, then everything at a lower rate, then with strong augmentation",
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
            augment=AUGMENTS["standard"],
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
            augment=AUGMENTS["strong"],
            warmup_epochs=1,
            weight_decay=1e-4,
            label_smoothing=0.1,
            averaging=0.999,
        ),
    ),
    init="imagenet",
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (_TRANSFER, _SCRATCH, _SPRINT, _SMALL_BUDGET, _QUICK)}


def recipe_named(name: str) -> Recipe:
    """One of `RECIPES`. Raises UserError for a name that is none of them."""
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}; the recipes are {', '.join(RECIPES)}.")
    return RECIPES[name]
