"""A person's own images, as `--data FOLDER|ZIP` names them."""

import os
from dataclasses import replace
from pathlib import Path

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import DATASETS, OWN


def own_path(data: str | None) -> Path | None:
    """Return the folder or archive that `--data` names; None for the name of a data set, or nothing.

    Raises UserError if it is neither.
    """
    if data is None or data in DATASETS:
        return None
    path = Path(os.path.expanduser(data)).resolve()
    if not path.exists():
        raise UserError(f"--data: {data!r} is neither a folder or zip archive nor one of {', '.join(DATASETS)}.")
    return path


def recipe_of_own(recipe: Recipe, path: Path) -> Recipe:
    """Read the images, print the report, and return the recipe that learns from them."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.data.own_images import read

    recipe = _with_start(recipe)
    own = watch(read(path, _side(recipe)))
    print("\n".join(own.report.lines()), flush=True)
    facts = own.facts()
    return replace(recipe, data=OWN, own=facts, train_images=None, val_images=facts.val_images)


def _with_start(recipe: Recipe) -> Recipe:
    """Replace ImageNet weights that are unavailable by those of the model that ships, at its image size."""
    from resnet_cifar.hub.catalog import SHIPPED
    from resnet_cifar.model.checkpoint import read_config
    from resnet_cifar.model.initial import imagenet_available
    from resnet_cifar.paths import CHECKPOINTS

    shipped = CHECKPOINTS / SHIPPED
    if recipe.init != "imagenet" or not shipped.exists() or imagenet_available(recipe.arch):
        return recipe
    config = read_config(shipped)
    if (config.arch, config.stem) != (recipe.arch, recipe.stem):
        return recipe
    print(f"the ImageNet weights are unavailable, so training starts from {SHIPPED}", flush=True)
    stages = tuple(stage.changed(image_size=config.image_size) for stage in recipe.stages)
    return replace(recipe, init=str(shipped), stages=stages)


def _side(recipe: Recipe) -> int:
    """Pixels a side at which images are stored: those that the initial weights know, else those that training needs."""
    from resnet_cifar.model.checkpoint import CONFIG, read_config

    if (Path(recipe.init) / CONFIG).exists():
        return read_config(Path(recipe.init)).side
    return max(size for stage in recipe.stages for size in stage.image_sizes)
