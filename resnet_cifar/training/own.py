"""From a recipe to one that learns a person's own images."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from resnet_cifar.data.own_images import read
from resnet_cifar.data.own_store import OwnImages
from resnet_cifar.events import Progress
from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.model.checkpoint import CONFIG, read_config
from resnet_cifar.model.initial import imagenet_available
from resnet_cifar.paths import CHECKPOINTS
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import OWN


def with_start(recipe: Recipe) -> Recipe:
    """Replace ImageNet weights that are unavailable by those of the model that ships, at its image size."""
    shipped = CHECKPOINTS / SHIPPED
    if recipe.init != "imagenet" or not shipped.exists() or imagenet_available(recipe.arch):
        return recipe
    config = read_config(shipped)
    if (config.arch, config.stem) != (recipe.arch, recipe.stem):
        return recipe
    stages = tuple(stage.changed(image_size=config.image_size) for stage in recipe.stages)
    return replace(recipe, init=str(shipped), stages=stages)


def read_for(recipe: Recipe, path: Path, folder: Path | None = None) -> Generator[Progress, None, OwnImages]:
    """Read a person's images at the side that a recipe needs; arguments and errors as in `read`."""
    return (yield from read(path, _side(recipe), folder))


def learning(recipe: Recipe, own: OwnImages) -> Recipe:
    """Return the recipe that learns from a person's images."""
    facts = own.facts()
    val_images = facts.val_images if recipe.val_images else 0
    return replace(recipe, data=OWN, own=facts, train_images=None, val_images=val_images)


def _side(recipe: Recipe) -> int:
    """Pixels a side at which images are stored: those that the initial weights know, else those that training needs."""
    if (Path(recipe.init) / CONFIG).exists():
        return read_config(Path(recipe.init)).side
    return max(size for stage in recipe.stages for size in stage.image_sizes)
