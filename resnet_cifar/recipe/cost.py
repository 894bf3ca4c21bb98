"""What a run costs in multiplications, told from its recipe alone; with a rate it becomes a time.

Counted are convolutions, of which nearly all of the time goes; the rest is left to the rate.
"""

from functools import lru_cache

from resnet_cifar.recipe.architecture import ARCHITECTURES, Architecture
from resnet_cifar.recipe.config import EVERYTHING, Group, Recipe, Stage


def forward_macs(arch: str, stem: str, size: int, classes: int) -> dict[Group, float]:
    """Multiply-accumulates of one image's forward pass through each group (He et al. 2016, table 1)."""
    architecture = ARCHITECTURES[arch]
    if stem == "stock":
        side = -(-size // 2)
        macs: dict[Group, float] = {"stem": side**2 * 49 * 3 * architecture.width}
        side = -(-side // 2)
    else:
        side = size
        macs = {"stem": side**2 * 9 * 3 * architecture.width}
    inputs = architecture.width
    for number, group in enumerate(EVERYTHING[1:5]):
        before, side = side, -(-side // 2) if number else side
        macs[group] = _layer_macs(architecture, number, inputs, before, side)
        inputs = architecture.channels[number] * architecture.block.expansion
    return macs | {"fc": architecture.features * classes}


def _forward(recipe: Recipe, size: int) -> dict[Group, float]:
    return forward_macs(recipe.arch, recipe.stem, size, len(recipe.dataset.labels))


def _layer_macs(architecture: Architecture, number: int, inputs: int, before: int, after: int) -> float:
    """Of a layer's blocks, on images of `before` pixels a side that it makes `after`."""
    block, channels = architecture.block, architecture.channels[number]
    outputs = channels * block.expansion
    total = after**2 * inputs * outputs if inputs != outputs else 0  # the shortcut's
    for first in (True, *[False] * (architecture.layers[number] - 1)):
        width = inputs if first else outputs
        for index, kernel in enumerate(block.kernels):
            out = outputs if index == len(block.kernels) - 1 else channels
            side = before if first and index < block.strided else after
            total += side**2 * kernel**2 * width * out
            width = out
    return total


def training_images(recipe: Recipe) -> int:
    """Images in an epoch."""
    return recipe.train_images or recipe.dataset.train_images - recipe.val_images


def data_bytes(recipe: Recipe) -> int:
    """Of all images that a run has."""
    dataset = recipe.dataset
    return (dataset.train_images + dataset.test_images) * 3 * dataset.side**2


def step_macs(recipe: Recipe, part: Stage) -> float:
    """Multiply-accumulates of training on one image once, at the image size that the stage begins with.

    Forward, and back to the first group that learns. A teacher is taken to be as large as the network.
    """
    macs = _forward(recipe, part.image_size)
    first = min(EVERYTHING.index(group) for group in part.trainable)
    taught = recipe.teacher is not None and not part.caches_features
    return (1 + taught) * sum(macs.values()) + 2 * sum(macs[group] for group in EVERYTHING[first:])


def feature_macs(recipe: Recipe, stage: Stage) -> float:
    """Multiply-accumulates of the features that a stage computes once before its first epoch."""
    if not stage.caches_features:
        return 0.0
    forward = sum(_forward(recipe, stage.image_size).values())
    return forward * (stage.views * training_images(recipe) + recipe.val_images)


def epoch_macs(recipe: Recipe, part: Stage) -> float:
    """Multiply-accumulates of the first epoch of a stage, its evaluation included."""
    macs = _forward(recipe, part.image_size)
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
    forward = sum(_forward(recipe, recipe.stages[-1].image_sizes[-1]).values())
    return forward * recipe.dataset.test_images


def run_macs(recipe: Recipe) -> float:
    """Of a whole run, its test included."""
    return sum(stage_macs(recipe, stage) for stage in recipe.stages) + testing_macs(recipe)
