"""Trains a few steps in as many processes as torchrun started, and prints the losses and where the weights end up.

BatchNorm keeps its statistics, so that nothing but the order of sums can differ between one process and several.
"""

import json
import sys
from dataclasses import replace

import torch

from resnet_cifar.data.dataset import official_splits
from resnet_cifar.data.preprocess import CIFAR100
from resnet_cifar.data.split import Dataset
from resnet_cifar.engine import loop
from resnet_cifar.engine.state import Training
from resnet_cifar.events import EpochEnded, StepLogged
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.system.distributed import joined
from tests.builders import CPU, recipe, result, stage, staged_recipe

RECIPES = {
    "mixed": recipe(stage(augmentation=AUGMENTATIONS["strong"], label_smoothing=0.1), precision="fp32", log_every=1),
    "staged": staged_recipe(precision="fp32", log_every=1),
}
for name, known in RECIPES.items():  # gently: differences in the last digit are not to grow into others
    RECIPES[name] = replace(known, stages=tuple(one.changed(lr=0.01) for one in known.stages))


def main(name: str) -> None:
    torch.manual_seed(0)
    chosen = RECIPES[name]
    with joined(CPU) as world:
        model = ResNet("resnet18")
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.ones_(module.weight)
                module.eval()
                module.train = lambda mode=True, same=module: same  # type: ignore[method-assign]
        train, test = result(official_splits("synthetic", None))
        dataset = Dataset(train.take(torch.arange(101)), test.take(torch.arange(50)), test)
        said = list(loop.train(Training(model, chosen, CPU, "fp32", world), dataset, CIFAR100))
        if world.first:
            losses = [event.loss for event in said if isinstance(event, StepLogged)]
            vals = [event.val.loss for event in said if isinstance(event, EpochEnded) and event.val]
            weights = float(sum(tensor.double().abs().sum() for tensor in model.state_dict().values()))
            print(json.dumps({"losses": losses, "vals": vals, "weights": weights}))


if __name__ == "__main__":
    main(sys.argv[1])
