"""What the recipes are for, as cards: what each starts from, what it learns from, and what it costs on this machine."""

from typing import Any

from resnet_cifar.recipe import cost
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.presets import OWN_IMAGES, RECIPES
from resnet_cifar.report.text import between
from resnet_cifar.training.estimate import Estimates

_PURPOSES = {
    "transfer": "Builds on what a network has learned from ImageNet: first the head, then all layers.",
    "scratch": "Learns from CIFAR-100 alone, as the papers do.",
    "overnight": "A good model without a GPU, while you sleep.",
    "sprint": "A good model on a GPU, as fast as possible.",
    "small-budget": "A first real model without a GPU, in an hour or two.",
    "quick": "A first try, to see how training works.",
}
_STARTS = {"scratch": "random weights", "imagenet": "ImageNet weights, downloaded once"}
_OWN = {
    "name": OWN_IMAGES.name,
    "title": "your own images",
    "purpose": "Learns your classes from your images: first the head, then all layers.",
    "start": "Starts from ImageNet weights, or else from the model that ships",
    "data": "A zip archive, with a folder of images for each class",
}
_GLUE = "\N{NO-BREAK SPACE}"
_DAY = 86_400.0  # seconds


def cards() -> list[dict[str, str]]:
    """Return a card for each recipe, the quickest first, without its cost; that for a person's own images is last."""
    ordered = sorted(RECIPES.values(), key=cost.run_macs)
    return [*map(_card, ordered), _OWN]


def _card(recipe: Recipe) -> dict[str, str]:
    images, total = cost.training_images(recipe), recipe.dataset.train_images
    epochs = sum(stage.epochs for stage in recipe.stages)
    stages = f"{len(recipe.stages)} stages, " if len(recipe.stages) > 1 else ""
    sizes = list(dict.fromkeys(size for stage in recipe.stages for size in stage.image_sizes))
    pixels = f"{sizes[0]}{_GLUE}px" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}{_GLUE}px"
    return {
        "name": recipe.name,
        "title": recipe.name,
        "purpose": _PURPOSES[recipe.name],
        "start": f"Starts from {_STARTS[recipe.init]}",
        "data": f"{images:,} of {total:,} images, {stages}{epochs} epochs, {pixels}",
    }


def costs(estimates: Estimates) -> dict[str, dict[str, Any]]:
    """Return what each recipe costs on this machine, in words, and whether that is more than a day."""
    found = {name: estimates.rough(recipe) for name, recipe in RECIPES.items()}
    return {
        name: {"text": between(seconds) if seconds else "not measured yet", "slow": (seconds or 0) > _DAY}
        for name, seconds in found.items()
    }
