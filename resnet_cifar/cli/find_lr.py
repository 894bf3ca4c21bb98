"""The learning-rate finder in the terminal."""

import argparse
import sys
from typing import TYPE_CHECKING

from resnet_cifar.cli.chosen import data_folder, recipe_from
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.config import Recipe

if TYPE_CHECKING:
    from resnet_cifar.engine.range_test import RangeTest

_ROWS = 20
_BAR = 48  # characters of the highest loss; the lowest one has 1


def suggest(args: argparse.Namespace) -> int:
    """Run the range test of a recipe's stage; print its curve and the learning rate that it suggests."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.system.device import choose_device, prepare, use_free_cores
    from resnet_cifar.training.rate_finder import find_rate

    device = choose_device(args.device)
    prepare(device)
    recipe = recipe_from(args, device.type == "cuda")
    if not 1 <= args.stage <= len(recipe.stages):
        raise UserError(f"--stage is {args.stage}; recipe {recipe.name!r} has {_stages(recipe)}.")
    if device.type == "cpu":
        print(use_free_cores(), flush=True)
    try:
        found = watch(find_rate(recipe, args.stage - 1, data_folder(args), device))
    except KeyboardInterrupt:
        print("stopped before there was a suggestion; nothing was stored", file=sys.stderr)
        raise
    print(curve(found))
    print(_conclusion(recipe, args.stage - 1, found))
    return 0


def curve(found: "RangeTest") -> str:
    """Draw the smoothed loss by learning rate, as rows of text."""
    every = max(1, len(found.points) // _ROWS)
    shown = found.points[every - 1 :: every]
    low, high = (edge((p.smoothed for p in shown), default=0.0) for edge in (min, max))
    unit = (high - low) / (_BAR - 1) or 1.0
    rows = [f"{p.lr:>13.1e}  {p.smoothed:>6.3f}  {'█' * (1 + round((p.smoothed - low) / unit))}" for p in shown]
    return "\n".join(["learning rate    loss", *rows])


def _conclusion(recipe: Recipe, number: int, found: "RangeTest") -> str:
    from resnet_cifar.training.rate_finder import reason

    stage = recipe.stages[number]
    line = f"suggestion: --lr {found.suggestion:g} ({reason(found)}; the recipe has {stage.lr:g})"
    if len(recipe.stages) == 1:
        return line
    return (
        f"{line}\nfor stage {stage.name!r}, from the run's initial weights. --lr changes every stage; to change "
        "only this one, edit a recipe file or use the page."
    )


def _stages(recipe: Recipe) -> str:
    return "1 stage" if len(recipe.stages) == 1 else f"{len(recipe.stages)} stages"
