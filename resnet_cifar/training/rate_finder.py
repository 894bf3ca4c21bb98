"""The learning-rate finder: a range test of a recipe's stage with its data and initial weights. It stores nothing."""

from collections.abc import Generator
from pathlib import Path

import torch

from resnet_cifar.data.dataset import load
from resnet_cifar.engine.range_test import STEPS, RangeTest, range_test, rates
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.model.distillation import read_teacher
from resnet_cifar.model.initial import build, read_start
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.system.device import choose_precision, runs_in
from resnet_cifar.training.preflight import FINDER, check_request, using

_BUDGET = 2e13  # multiply-accumulates on a CPU: about a minute on two cores
_LEAST = 40  # steps; with fewer, SGD's momentum is felt at several times the rate


def find_rate(
    recipe: Recipe, number: int, data_dir: Path | None, device: torch.device
) -> Generator[Progress, None, RangeTest]:
    """Test stage `number`, counted from 0, from the run's initial weights; earlier stages are not trained.

    Downloads what a run would. Raises Busy while the device trains, and UserError for a recipe that cannot be trained.
    """
    with using(device, FINDER):
        check_request(recipe, data_dir)
        dataset = yield from load(recipe, data_dir, device)
        start = yield from read_start(recipe)
        precision = choose_precision(recipe.precision, device)
        teacher = read_teacher(recipe, device, start.normalization, runs_in(device, precision))
        model = build(recipe, start).to(device)
        lrs = rates(steps(recipe, recipe.stages[number], device))
        found = yield from range_test(
            model, recipe, number, dataset.train, start.normalization, precision, teacher, lrs
        )
    if not found.points:
        raise UserError(
            f"the loss is not finite even at a learning rate of {lrs[0]:g}; check the initial weights {recipe.init}, "
            "or try --precision fp32."
        )
    return found


def steps(recipe: Recipe, stage: Stage, device: torch.device) -> int:
    """Return how many steps a test takes: fewer on a CPU if they are expensive. The same on every CPU."""
    if device.type != "cpu":
        return STEPS
    return max(_LEAST, min(STEPS, int(_BUDGET / (stage.batch_size * cost.step_macs(recipe, stage)))))


def reason(found: RangeTest) -> str:
    """Say in words why a rate is suggested."""
    if found.diverges_at is not None:
        return f"a tenth of {found.limit:.2g}, where the loss diverges"
    return f"a tenth of {found.limit:.2g}, where the loss is lowest; it did not diverge in {len(found.points)} steps"
