"""What a run costs in multiplications, told from its recipe alone; with a rate it becomes a time.

Counted are convolutions, of which nearly all of the time goes; the rest is left to the rate.
"""

from functools import lru_cache

from resnet_cifar.recipe.config import DATASETS, EVERYTHING, Group, Recipe, Stage

_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
_TEST_IMAGES = {"cifar100": 10_000, "synthetic": 1_000}


def forward_macs(arch: str, stem: str, size: int) -> dict[Group, float]:
    """Multiply-accumulates of one picture's way through each group (He et al. 2016, table 1)."""
    if stem == "stock":
        side = -(-size // 2)
        macs: dict[Group, float] = {"stem": side**2 * 49 * 3 * 64}
        side = -(-side // 2)
    else:
        side = size
        macs = {"stem": side**2 * 9 * 3 * 64}
    channels = 64
    for group, blocks, width in zip(EVERYTHING[1:5], _BLOCKS[arch], (64, 128, 256, 512), strict=True):
        shortcut = 0
        if width != channels:
            side = -(-side // 2)
            shortcut = channels * width
        convolutions = 9 * (channels * width + (2 * blocks - 1) * width * width)
        macs[group] = side**2 * (convolutions + shortcut)
        channels = width
    return macs | {"fc": 512 * 100}


def training_images(recipe: Recipe) -> int:
    """Pictures in an epoch."""
    return recipe.train_images or DATASETS[recipe.data] - recipe.val_images


def data_bytes(recipe: Recipe) -> int:
    """Of all pictures that a run has."""
    return (DATASETS[recipe.data] + _TEST_IMAGES[recipe.data]) * 3 * 32 * 32


def step_macs(recipe: Recipe, part: Stage) -> float:
    """Multiply-accumulates of training on one image once, at the image size that the stage begins with.

    Forward, and back to the first group that learns. A teacher is taken to be as large as the network.
    """
    macs = forward_macs(recipe.arch, recipe.stem, part.image_size)
    first = min(EVERYTHING.index(group) for group in part.trainable)
    taught = recipe.teacher is not None and not part.caches_features
    return (1 + taught) * sum(macs.values()) + 2 * sum(macs[group] for group in EVERYTHING[first:])


def feature_macs(recipe: Recipe, stage: Stage) -> float:
    """Multiply-accumulates of the features that a stage computes once before its first epoch."""
    if not stage.caches_features:
        return 0.0
    forward = sum(forward_macs(recipe.arch, recipe.stem, stage.image_size).values())
    return forward * (stage.views * training_images(recipe) + recipe.val_images)


def epoch_macs(recipe: Recipe, part: Stage) -> float:
    """Multiply-accumulates of the first epoch of a stage, its evaluation included."""
    macs = forward_macs(recipe.arch, recipe.stem, part.image_size)
    if part.caches_features:
        return 3 * macs["fc"] * training_images(recipe)
    evaluations = recipe.val_images * (2 if part.ema_decay else 1)
    return step_macs(recipe, part) * training_images(recipe) + sum(macs.values()) * evaluations


@lru_cache(maxsize=256)  # asked for at every look at a run
def _parts(stage: Stage) -> tuple[Stage, ...]:
    return stage.parts()


def macs_of_epochs(recipe: Recipe, stage: Stage, epochs: float) -> float:
    """Multiply-accumulates of the first epochs of a stage, of which the last may be a fraction."""
    total, left = 0.0, epochs
    for part in _parts(stage):
        total += min(left, part.epochs) * epoch_macs(recipe, part)
        left = max(0.0, left - part.epochs)
    return total


def stage_macs(recipe: Recipe, stage: Stage) -> float:
    """Multiply-accumulates of a whole stage."""
    return feature_macs(recipe, stage) + macs_of_epochs(recipe, stage, stage.epochs)


def testing_macs(recipe: Recipe) -> float:
    """Of the test at the end."""
    forward = sum(forward_macs(recipe.arch, recipe.stem, recipe.stages[-1].image_sizes[-1]).values())
    return forward * _TEST_IMAGES[recipe.data]


def run_macs(recipe: Recipe) -> float:
    """Of a whole run, its test included."""
    return sum(stage_macs(recipe, stage) for stage in recipe.stages) + testing_macs(recipe)
