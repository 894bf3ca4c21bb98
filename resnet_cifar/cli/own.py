"""A person's own images, as `--data FOLDER|ZIP` names them."""

from pathlib import Path

from resnet_cifar.errors import UserError
from resnet_cifar.paths import absolute
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import DATASETS


def own_path(data: str | None) -> Path | None:
    """Return the folder or archive that `--data` names; None for the name of a data set, or nothing.

    Raises UserError if it is neither.
    """
    if data is None or data in DATASETS:
        return None
    path = absolute(data)
    if not path.exists():
        raise UserError(f"--data: {data!r} is neither a folder or zip archive nor one of {', '.join(DATASETS)}.")
    return path


def recipe_of_own(recipe: Recipe, path: Path) -> Recipe:
    """Read the images, print the report, and return the recipe that learns from them."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.training.own import learning, read_for, with_start

    started = with_start(recipe)
    if started is not recipe:
        print(f"the ImageNet weights are unavailable, so training starts from {Path(started.init).name}", flush=True)
    own = watch(read_for(started, path))
    print("\n".join(own.report.lines()), flush=True)
    return learning(started, own)
