"""Multiply-accumulates (MACs) of a step, an epoch, a stage and a run, computed from its recipe.

Only convolutions and the head are counted, because they take nearly all of the time. A measured rate, in which the
rest is included, turns MACs into seconds.
"""

from functools import lru_cache

from resnet_cifar.recipe.architecture import ARCHITECTURES, Architecture
from resnet_cifar.recipe.config import EVERYTHING, Group, Recipe, Stage


def forward_macs(arch: str, stem: str, size: int, classes: int) -> dict[Group, float]:
    """Compute the MACs of one image's forward pass through each group (He et al. 2016, table 1)."""
    architecture = ARCHITECTURES[arch]
    if stem == "stock":
        side = -(-size // 2)  # rounded up, as a convolution with stride 2 and padding does
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
    """Compute the MACs of a layer's blocks. `before`, `after`: pixels per side of the layer's input and output."""
    block, channels = architecture.block, architecture.channels[number]
    outputs = channels * block.expansion
    total = after**2 * inputs * outputs if inputs != outputs else 0  # the shortcut's convolution
    for first in (True, *[False] * (architecture.layers[number] - 1)):
        width = inputs if first else outputs
        for index, kernel in enumerate(block.kernels):
            out = outputs if index == len(block.kernels) - 1 else channels
            side = before if first and index < block.strided else after  # the stride reduces its own output
            total += side**2 * kernel**2 * width * out
            width = out
    return total


def training_images(recipe: Recipe) -> int:
    """Return the number of train images per epoch."""
    return recipe.train_images or recipe.dataset.train_images - recipe.val_images


def data_bytes(recipe: Recipe) -> int:
    """Return the bytes of all uint8 images that a run loads."""
    dataset = recipe.dataset
    return (dataset.train_images + dataset.test_images) * 3 * dataset.side**2


def step_macs(recipe: Recipe, part: Stage) -> float:
    """Compute the MACs of one image in a training step, at the stage's first image size.

    A forward pass, and a backward pass, twice as expensive, down to the first trainable group. A teacher is assumed
    to be as large as the network.
    """
    macs = _forward(recipe, part.image_size)
    first = min(EVERYTHING.index(group) for group in part.trainable)
    has_teacher = recipe.teacher is not None and not part.caches_features
    return (1 + has_teacher) * sum(macs.values()) + 2 * sum(macs[group] for group in EVERYTHING[first:])


def feature_macs(recipe: Recipe, stage: Stage) -> float:
    """Compute the MACs of the features that a stage caches before its first epoch; 0 without a cache."""
    if not stage.caches_features:
        return 0.0
    forward = sum(_forward(recipe, stage.image_size).values())
    return forward * (stage.views * training_images(recipe) + recipe.val_images)


def epoch_macs(recipe: Recipe, part: Stage) -> float:
    """Compute the MACs of the first epoch of a stage, including its evaluation."""
    macs = _forward(recipe, part.image_size)
    if part.caches_features:
        return 3 * macs["fc"] * training_images(recipe)  # evaluating the head on cached features costs next to nothing
    evaluations = recipe.val_images * (2 if part.ema_decay else 1)
    return step_macs(recipe, part) * training_images(recipe) + sum(macs.values()) * evaluations


@lru_cache(maxsize=256)  # the page asks for it at every update of a run
def _parts(stage: Stage) -> tuple[Stage, ...]:
    return stage.parts()


def macs_of_epochs(recipe: Recipe, stage: Stage, epochs: float) -> float:
    """Compute the MACs of the first `epochs` epochs of a stage, not necessarily a whole number."""
    total, left = 0.0, epochs
    for part in _parts(stage):
        total += min(left, part.epochs) * epoch_macs(recipe, part)
        left = max(0.0, left - part.epochs)
    return total


def stage_macs(recipe: Recipe, stage: Stage) -> float:
    """Compute the MACs of a whole stage."""
    return feature_macs(recipe, stage) + macs_of_epochs(recipe, stage, stage.epochs)


def testing_macs(recipe: Recipe) -> float:
    """Compute the MACs of the test at the end of a run."""
    forward = sum(_forward(recipe, recipe.stages[-1].image_sizes[-1]).values())
    return forward * recipe.dataset.test_images


def run_macs(recipe: Recipe) -> float:
    """Compute the MACs of a whole run, including its test."""
    return sum(stage_macs(recipe, stage) for stage in recipe.stages) + testing_macs(recipe)
