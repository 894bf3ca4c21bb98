"""What can be typed after `python app.py`, and what recipe it asks for."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.config import PRECISIONS, Recipe
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.recipe.presets import RECIPES, recipe_named
from resnet_cifar.runs.run_dir import locate

_OF_RECIPE = ("arch", "data", "train_images", "val_images", "seed", "precision")
_OF_STAGES = ("epochs", "lr", "batch_size", "image_size")
OF_RUN = ("recipe", "run", "init", "teacher", *_OF_STAGES, *_OF_RECIPE)
OF_TRAINING = (*OF_RUN, "resume", "data_dir")


# What belongs to certain commands, of which one must be there.
_OF_COMMANDS = {
    "json": ("classify",),
    "split": ("evaluate",),
    "tta": ("evaluate",),
    "repo": ("push",),
    "push_to": ("train_only",),
    "dry_run": ("push", "deploy_space"),
    "create_pr": ("push", "push_to"),
    "public": ("push", "push_to", "deploy_space"),
}
_APART = {
    "export": ("classify", "evaluate", "deploy_space", "list_recipes"),
    "list_recipes": ("classify", "evaluate", "deploy_space", "push"),
}


def parser() -> argparse.ArgumentParser:
    """All flags there are."""
    flags = argparse.ArgumentParser(
        prog="app.py", description="ResNet-34 on CIFAR-100: the page, or what else is named."
    )
    what = flags.add_mutually_exclusive_group()
    what.add_argument("--train-only", action="store_true", help="train in this terminal")
    what.add_argument("--evaluate", metavar="RUN", help="test a run's or another checkpoint's weights")
    what.add_argument("--classify", metavar="FILE", nargs="+", help="say what is in images; with --run, by its weights")
    what.add_argument("--push", metavar="RUN", help="upload a run to the Hugging Face Hub, to --repo")
    what.add_argument(
        "--deploy-space", metavar="USER/NAME", help="make or update a Space of the app; with --run, its model"
    )
    run = flags.add_argument_group("what to train")
    run.add_argument(
        "--recipe", metavar="NAME", help="or a FILE.json; default: transfer with a CUDA GPU, quick without"
    )
    run.add_argument("--list-recipes", action="store_true", help="show what can be trained")
    run.add_argument("--run", metavar="NAME", help="the new run's name, or path; the recipe and a number, unless named")
    run.add_argument("--resume", metavar="RUN", help="go on with a stopped, failed or interrupted run")
    run.add_argument("--init", metavar="START", help="scratch, imagenet, or a checkpoint folder, .safetensors or .pth")
    run.add_argument("--teacher", metavar="RUN", help="a run or checkpoint folder, whose probabilities are learned too")
    run.add_argument("--arch", choices=ARCHITECTURES, help="the network; the recipe's, unless named")
    run.add_argument("--seed", type=int, metavar="N", help="what all random draws come from")
    flags.add_argument(
        "--export",
        choices=("onnx",),
        help="write model.onnx beside weights: those of --run, or what is trained or pushed",
    )
    flags.add_argument("--split", choices=("test", "val"), help="with --evaluate: on what; test, unless named")
    flags.add_argument(
        "--tta", action="store_true", help="with --evaluate: test-time augmentation, the mirror images too"
    )
    flags.add_argument("--json", action="store_true", help="with --classify: answers as JSON")
    change = flags.add_argument_group("changes to every stage of the recipe")
    change.add_argument("--epochs", type=int, metavar="N")
    change.add_argument("--batch-size", type=int, metavar="N")
    change.add_argument("--lr", type=float, metavar="X", help="peak of the head's rate; the backbone's keeps its ratio")
    change.add_argument(
        "--image-size", type=int, metavar="N", help="pixels a side in every epoch; with --evaluate: to test at"
    )
    _add_places(flags)
    return flags


def _add_places(flags: argparse.ArgumentParser) -> None:
    """Where data comes from, where the page and the weights go, and what computes."""
    data = flags.add_argument_group("data")
    data.add_argument("--data", choices=DATASETS, help="synthetic: made on the fly, for a look without a download")
    data.add_argument("--data-dir", metavar="DIR", help="holds cifar-100-python; or CIFAR100_DIR; else it's downloaded")
    data.add_argument("--train-images", type=int, metavar="N", help="a class-balanced part of train")
    data.add_argument("--val-images", type=int, metavar="N", help="cut from train to choose with; 0: the last is kept")
    page = flags.add_argument_group("the page")
    page.add_argument("--host", help="who may come: this machine alone, unless it is another")
    page.add_argument("--port", type=int, default=7860)
    page.add_argument("--share", action="store_true", help="lend it a public address, through gradio's servers")
    page.add_argument(
        "--auth", metavar="USER:PASSWORD", help="who may come; or RESNET_CIFAR_AUTH, which ps doesn't show"
    )
    page.add_argument("--read-only", action="store_true", help="classify and curves alone")
    hub = flags.add_argument_group("the Hugging Face Hub")
    hub.add_argument("--repo", metavar="USER/NAME", help="with --push: where to")
    hub.add_argument("--push-to", metavar="USER/NAME", help="with --train-only: upload the run once it is completed")
    hub.add_argument("--public", action="store_true", help="for everybody to see; a new repo is private otherwise")
    hub.add_argument("--create-pr", action="store_true", help="as a pull request")
    hub.add_argument("--dry-run", action="store_true", help="show what would be uploaded, without a request")
    machine = flags.add_argument_group("machine")
    machine.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    machine.add_argument("--precision", choices=PRECISIONS)
    # What the page hands down to the run that it starts: descriptors of the locks that it took for it.
    machine.add_argument("--inherited-locks", type=int, nargs="*", help=argparse.SUPPRESS)


def recipe_from(args: argparse.Namespace, gpu: bool) -> Recipe:
    """The recipe that is named, with the changes that the flags ask for."""
    if args.recipe:
        recipe = recipe_named(args.recipe) if args.recipe in RECIPES else _recipe_file(args.recipe)
    else:
        recipe = RECIPES["transfer" if gpu else "quick"]
        why = "there is a CUDA GPU" if gpu else "there is no CUDA GPU in use"
        print(f"recipe {recipe.name}, since {why} and no --recipe was named")
    changes, of_stages = _given(args, _OF_RECIPE), _given(args, _OF_STAGES)
    if args.init is not None:
        changes["init"] = _start(args.init)
    if args.teacher is not None:
        changes["teacher"] = str(locate(args.teacher))
    if args.data == "synthetic" and args.train_images is None:
        changes["train_images"] = None  # a recipe's own number is made for CIFAR-100
    return replace(recipe, stages=tuple(stage.changed(**of_stages) for stage in recipe.stages), **changes)


def _recipe_file(named: str) -> Recipe:
    """The recipe in a file. Raises UserError where it can't be read, or where neither a file nor a recipe is named."""
    path = Path(os.path.expanduser(named))
    if path.suffix != ".json" and os.sep not in named:
        return recipe_named(named)
    try:
        return Recipe.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(f"cannot read the recipe {path}: {why}.") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def refuse_strays(args: argparse.Namespace) -> None:
    """Refuse flags that would change nothing. Raises UserError."""
    there = {name for name, value in vars(args).items() if value not in (None, False)}
    for name, commands in _OF_COMMANDS.items():
        if name in there and not there & set(commands):
            raise UserError(f"{_typed(name)} belongs to {' or '.join(map(_typed, commands))}; leave it out.")
    for name, commands in _APART.items():
        if name in there and (others := there & set(commands)):
            raise UserError(f"{_typed(name)} does not go with {_typed(others.pop())}; leave one of them out.")
    if "export" in there and not there & {"train_only", "push"} and (others := there & {*OF_TRAINING} - {"run"}):
        raise UserError(f"{_typed(others.pop())} belongs to training; --export by itself takes --run alone.")


def _typed(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _given(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def given_flags(args: argparse.Namespace, names: Sequence[str]) -> str:
    """Those of `names` that were given, as they are typed."""
    return ", ".join(map(_typed, _given(args, names)))


def _start(init: str) -> str:
    """Where weights start; a path is made absolute, since the run may be resumed from elsewhere."""
    if init in ("scratch", "imagenet"):
        return init
    path = Path(os.path.expanduser(init))
    is_name = not path.exists() and not path.suffix
    return str(locate(init) if is_name else path.resolve())
