"""Trains a few steps of each recipe in as many processes as torchrun started; prints losses and sums of weights.

BatchNorm keeps its statistics, so that nothing but the order of sums can differ between one process and several.
"""

import json
from dataclasses import replace
from typing import Any

import torch

from resnet_cifar.data.dataset import official_splits
from resnet_cifar.data.preprocess import CIFAR100
from resnet_cifar.data.split import Dataset
from resnet_cifar.engine import loop
from resnet_cifar.engine.state import Training
from resnet_cifar.events import EpochEnded, StepLogged
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.system.distributed import World, joined
from tests.builders import CPU, recipe, result, stage, staged_recipe

RECIPES = {
    "mixed": recipe(stage(augmentation=AUGMENTATIONS["strong"], label_smoothing=0.1), precision="fp32", log_every=1),
    "staged": staged_recipe(precision="fp32", log_every=1),
}
for name, known in RECIPES.items():  # gently: differences in the last digit are not to grow into others
    RECIPES[name] = replace(known, stages=tuple(one.changed(lr=0.01) for one in known.stages))


def main() -> None:
    with joined(CPU) as world:
        results = {name: learned(recipe, world) for name, recipe in RECIPES.items()}
        if world.first:
            print(json.dumps(results))


def learned(recipe: Recipe, world: World) -> dict[str, Any]:
    """Train a recipe; return its losses and the sum of all absolute weights."""
    torch.manual_seed(0)
    model = ResNet("tiny")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
            module.eval()
            module.train = lambda mode=True, same=module: same  # type: ignore[method-assign]
    train, test = result(official_splits("synthetic", None))
    dataset = Dataset(train.take(torch.arange(101)), test.take(torch.arange(50)), test)
    events = list(loop.train(Training(model, recipe, CPU, "fp32", world), dataset, CIFAR100))
    return {
        "losses": [event.loss for event in events if isinstance(event, StepLogged)],
        "vals": [event.val.loss for event in events if isinstance(event, EpochEnded) and event.val],
        "weights": float(sum(tensor.double().abs().sum() for tensor in model.state_dict().values())),
    }


if __name__ == "__main__":
    main()
