"""Recipe, run and folders that the options of a command line ask for."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet_cifar.cli.arguments import OF_RECIPE, OF_STAGES
from resnet_cifar.cli.own import own_path, recipe_of_own
from resnet_cifar.errors import UserError
from resnet_cifar.paths import absolute
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.presets import OWN_IMAGES, RECIPES, recipe_named
from resnet_cifar.runs.run_dir import LARGEST_RECIPE, RunDir, locate
from resnet_cifar.system.files import read_text


def recipe_from(args: argparse.Namespace, gpu: bool) -> Recipe:
    """Build the named recipe, with the changes that the options ask for. Raises UserError."""
    own = own_path(args.data)
    if args.recipe:
        recipe = recipe_named(args.recipe) if args.recipe in RECIPES else _recipe_file(args.recipe)
    elif own is not None:
        recipe = OWN_IMAGES
    else:
        recipe = RECIPES["transfer" if gpu else "quick"]
        why = "there is a CUDA GPU" if gpu else "there is no CUDA GPU in use"
        print(f"recipe {recipe.name}, because {why} and no --recipe was given")
    changes, of_stages = _given(args, OF_RECIPE), _given(args, OF_STAGES)
    if args.init is not None:
        changes["init"] = args.init if args.init in ("scratch", "imagenet") else str(weights(args.init))
    if args.teacher is not None:
        changes["teacher"] = str(weights(args.teacher))
    if args.data == "synthetic" and args.train_images is None:
        changes["train_images"] = None  # a recipe's own number is meant for CIFAR-100
    if own is not None:
        del changes["data"]
    recipe = replace(recipe, stages=tuple(stage.changed(**of_stages) for stage in recipe.stages), **changes)
    return recipe if own is None else recipe_of_own(recipe, own)


def weights(named: str) -> Path:
    """Absolute path of weights that are named by a run, a folder or a file; the run may be resumed from elsewhere."""
    return absolute(named) if Path(named).suffix in (".safetensors", ".pth") else locate(named)


def data_folder(args: argparse.Namespace, data: str | None = None) -> Path | None:
    """Folder of the data, from --data, --data-dir, --data-source or CIFAR100_DIR; None: download when it is needed.

    data: name of the run's data set, where it is known; else --data says it.
    """
    named = getattr(args, "data", None)
    if args.data_source is not None:
        return _downloaded(args.data_source, args.data_dir, data or named or "cifar100")
    if (own := own_path(named)) is not None:
        return own
    folder = args.data_dir or os.environ.get("CIFAR100_DIR")
    return absolute(folder) if folder else None


def _downloaded(source: str, folder: str | None, data: str) -> Path:
    """Download CIFAR-100 from `source`, unless it is in `data/` already. Raises UserError if it is not needed."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.data.cifar100 import download
    from resnet_cifar.paths import DATA

    if folder is not None:
        raise UserError(
            f"--data-source {source} downloads CIFAR-100, but --data-dir {folder} has it; give one of them."
        )
    if data != "cifar100":
        raise UserError(f"--data-source {source} is for CIFAR-100, and the data here is {data}; leave it out.")
    found = watch(download(DATA, source))
    print(f"CIFAR-100 is in {found}", file=sys.stderr)  # standard output may be JSON
    return found


def chosen_run(named: str | None) -> RunDir:
    """The named run, or the default checkpoint."""
    from resnet_cifar.hub.catalog import default_checkpoint

    return RunDir(locate(named) if named else default_checkpoint())


def _recipe_file(named: str) -> Recipe:
    """Read a recipe from a file. Raises UserError if it cannot be read, or names neither a file nor a recipe."""
    if Path(named).suffix != ".json" and os.sep not in named:
        return recipe_named(named)
    path = absolute(named)
    try:
        return Recipe.from_json(read_text(path, LARGEST_RECIPE))
    except OSError as error:
        raise UserError(f"cannot read the recipe {path}: {error.strerror}.") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _given(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(args, name)) is not None}
