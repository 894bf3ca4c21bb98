"""Effect of each stage of the recipe `transfer`, with a backbone trained here instead of ImageNet weights.

    python benchmarks/transfer.py [--image-size 48] [--backbone-epochs 12] [--epochs 100 10 15] [--seed 0]

A backbone is trained on 80 classes of CIFAR-100 with the recipe `small-budget`. `transfer` then adapts it to the other
20 classes, one of each superclass: first the head only, then all layers at a lower learning rate, then all layers with
strong augmentation. For comparison, the last stage also runs from random weights, for as many epochs as the last two
stages together. A tenth of the train images serves as val, to choose the best epoch; each stage is tested once.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from resnet_cifar.cli.terminal import Bar, watch
from resnet_cifar.data.dataset import balanced_order, official_splits
from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.data.split import Dataset, Split
from resnet_cifar.engine import loop
from resnet_cifar.engine.evaluate import test
from resnet_cifar.engine.state import Training, Weights
from resnet_cifar.events import EpochEnded, StageEnded
from resnet_cifar.model.initial import Start, build
from resnet_cifar.recipe.classes import FINE_TO_COARSE
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.presets import recipe_named
from resnet_cifar.report.text import duration, percent, table
from resnet_cifar.system.device import choose_device, choose_precision, describe, prepare

NEW = [max(label for label in range(100) if FINE_TO_COARSE[label] == coarse) for coarse in range(20)]


def main() -> None:
    """Train the backbone, transfer it and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image-size", type=int, default=48)
    parser.add_argument("--backbone-epochs", type=int, default=12)
    parser.add_argument("--epochs", type=int, nargs=3, default=[100, 10, 15], help="of each stage of transfer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device, data_dir = choose_device(args.device), os.environ.get("CIFAR100_DIR")
    prepare(device)
    official = watch(official_splits("cifar100" if data_dir else "synthetic", Path(data_dir or ".")))
    known = [label for label in range(100) if label not in NEW]
    print(f"{describe(device)}, torch {torch.__version__}, {args.image_size} px, seed {args.seed}")

    small, moved = (changed(recipe_named(name), args) for name in ("small-budget", "transfer"))
    small, moved = with_epochs(small, [args.backbone_epochs]), with_epochs(moved, args.epochs)
    last = moved.stages[2].changed(epochs=sum(args.epochs[1:]), lr=0.1)
    scratch = replace(moved, stages=(replace(last, name="from scratch", backbone_lr=None, layer_decay=1.0),))
    backbone, rows = run(small, None, known, official, device)
    for recipe, start in ((moved, backbone), (scratch, None)):
        rows += run(recipe, start, NEW, official, device)[1]
    print(table(("stage", "classes", "epochs", "train top-1", "best val top-1", "test top-1", "time"), rows))


def changed(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """Copy a recipe with the image size and seed of the arguments; weights are passed to `run` instead."""
    stages = tuple(replace(stage, image_size=args.image_size) for stage in recipe.stages)
    return replace(recipe, stages=stages, init="scratch", seed=args.seed)


def with_epochs(recipe: Recipe, epochs: list[int]) -> Recipe:
    """Copy a recipe with a different number of epochs in each stage."""
    pairs = zip(recipe.stages, epochs, strict=True)
    return replace(recipe, stages=tuple(stage.changed(epochs=count) for stage, count in pairs))


def run(
    recipe: Recipe, backbone: Weights | None, labels: list[int], official: tuple[Split, Split], device: torch.device
) -> tuple[Weights, list[tuple[str, ...]]]:
    """Train a recipe on some classes; returns the best weights and a table row for each stage."""
    train, unseen = (only(split, labels) for split in official)
    order = balanced_order(train.labels, recipe.seed)
    count = len(train) // 10
    dataset = Dataset(train.take(order[count:]).to(device), train.take(order[:count]).to(device), unseen.to(device))
    model = build(recipe, Start(None, CIFAR100, "")).to(device)
    if backbone is not None:
        model.load_state_dict(backbone | {"fc.weight": model.fc.weight, "fc.bias": model.fc.bias})
    training = Training(model, recipe, device, choose_precision(recipe.precision, device))
    rows, bar, began = [], Bar(), time.perf_counter()
    for event in loop.train(training, dataset, CIFAR100):
        if isinstance(event, EpochEnded):
            last = event
        elif isinstance(event, StageEnded):
            top1 = [last.train_top1, event.best_top1 or 0.0, tested(training, dataset.test)]
            took = duration(time.perf_counter() - began)
            rows.append((event.name, str(len(labels)), str(event.epochs), *map(percent, top1), took))
            bar.say("  " + "  ".join(rows[-1]))
            began = time.perf_counter()
    assert training.best is not None
    return training.best.weights, rows


def tested(training: Training, split: Split) -> float:
    """Measure test top-1 of the best weights so far, without changing the model in training."""
    assert training.best is not None
    model = build(training.recipe, Start(training.best.weights, CIFAR100, "")).to(training.device)
    preprocess = Preprocess(training.best.image_size, CIFAR100, training.device)
    return float(watch(test(model, split, preprocess, training.autocast))["top1"])


def only(split: Split, labels: list[int]) -> Split:
    """Select the images of some classes."""
    return split.take(torch.isin(split.labels, torch.tensor(labels)).nonzero()[:, 0])


if __name__ == "__main__":
    main()
