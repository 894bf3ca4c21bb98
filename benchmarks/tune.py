"""Effect of each part of a recipe: variants of it, trained on the same images and compared on val.

    python benchmarks/tune.py [VARIANT ...] [--recipe scratch] [--epochs 30] [--seeds 2] [--teacher RUN]

A VARIANT is one name or several, such as `"random erasing + no mixing"`. Prints rows for benchmarks/EXPERIMENTS.md. All
seeds use the val images of seed 0, and a teacher must not have been trained on them. The test images are not used.
"""

import argparse
import datetime
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from resnet_cifar.cli.terminal import Bar, watch
from resnet_cifar.data.dataset import load
from resnet_cifar.data.preprocess import CIFAR100
from resnet_cifar.data.split import Dataset
from resnet_cifar.engine import compile as compiling
from resnet_cifar.engine import loop
from resnet_cifar.engine.state import Training
from resnet_cifar.errors import Diverged
from resnet_cifar.events import EpochEnded
from resnet_cifar.model.distillation import read_teacher
from resnet_cifar.model.initial import Start, build
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.presets import RECIPES, recipe_named
from resnet_cifar.report.text import duration, percent
from resnet_cifar.runs.run_dir import locate
from resnet_cifar.system.device import choose_device, choose_precision, describe, prepare, runs_in

Change = Callable[[Recipe], Recipe]


def stages(**changes: Any) -> Change:
    """Change fields of every stage."""
    return lambda recipe: replace(recipe, stages=tuple(stage.changed(**changes) for stage in recipe.stages))


def augment(**changes: Any) -> Change:
    """Change fields of the augmentation."""
    return lambda recipe: stages(augmentation=replace(recipe.stages[0].augmentation, **changes))(recipe)


def progression(**changes: Any) -> Change:
    """Change fields of every part of the progression; None: the field does not change along the stage."""

    def change(recipe: Recipe) -> Recipe:
        return stages(progression=tuple(replace(part, **changes) for part in recipe.stages[0].progression))(recipe)

    return change


def plain_middle(recipe: Recipe) -> Recipe:
    """Augment the middle one of three parts of the progression like the first."""
    first, *later = recipe.stages[0].progression or (None,)
    if first is None:
        return recipe
    return stages(progression=(replace(first, augmentation=None), *later))(recipe)


def rate(factor: float, batch: float = 1) -> Change:
    """Multiply the learning rate and the batch size."""

    def change(recipe: Recipe) -> Recipe:
        first = recipe.stages[0]
        return stages(batch_size=round(batch * first.batch_size), lr=factor * first.lr)(recipe)

    return change


VARIANTS: dict[str, Change] = {
    "baseline": lambda recipe: recipe,
    "CIFAR stem at 32 px": lambda recipe: stages(image_size=32)(replace(recipe, stem="cifar")),
    "constant size": progression(image_size=None),
    "plain middle": plain_middle,
    "no mixing": augment(mixup=0.0, cutmix=0.0),
    "mixing to the end": stages(no_mix_fraction=0.0),
    "mixup and CutMix": augment(mixup=0.4, cutmix=0.4),
    "no TrivialAugment": augment(trivial_augment=False),
    "random erasing": augment(random_erasing=0.25),
    "no label smoothing": stages(label_smoothing=0.0),
    "no EMA": stages(ema_decay=0.0),
    "less weight decay": stages(weight_decay=2e-4),
    "more weight decay": stages(weight_decay=1e-3),
    "half the learning rate": rate(0.5),
    "twice the learning rate": rate(2),
    "a quarter of batch and learning rate": rate(0.25, batch=0.25),
    "distillation": lambda recipe: replace(recipe, distillation_weight=0.5),
    "distillation only": lambda recipe: replace(recipe, distillation_weight=1.0),
}


def variant(recipe: Recipe, name: str) -> Recipe:
    """Apply all changes of a name such as `TrivialAugment + no mixing`."""
    return reduce(lambda changed, part: VARIANTS[part](changed), name.split(" + "), recipe)


def main() -> None:
    """Train the variants and print a row for each."""
    parser = argparse.ArgumentParser(epilog=f"variants: {', '.join(VARIANTS)}")
    parser.add_argument("variant", nargs="*", help="default: all without a teacher")
    tuned = [recipe.name for recipe in RECIPES.values() if recipe.init == "scratch"]
    parser.add_argument("--recipe", default="scratch", choices=tuned)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--train-images", type=int)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--teacher", metavar="RUN", help="for the distillation variants")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    chosen = args.variant or [name for name in VARIANTS if "distillation" not in name]
    for name in chosen:
        if unknown := set(name.split(" + ")) - set(VARIANTS):
            parser.error(f"there is no variant {unknown.pop()!r}; the variants are {', '.join(VARIANTS)}.")
        if "distillation" in name and args.teacher is None:
            parser.error(f"{name!r} needs --teacher RUN.")
    compiling._WORTH = 0  # always compile: many short runs share one compiled network
    device, data_dir = choose_device(args.device), os.environ.get("CIFAR100_DIR")
    prepare(device)
    recipe = stages(epochs=args.epochs)(replace(recipe_named(args.recipe), train_images=args.train_images))
    recipe = recipe if data_dir else replace(recipe, data="synthetic", train_images=None)
    dataset = watch(load(recipe, Path(data_dir) if data_dir else None, device))
    seen = f"{len(dataset.train):,} images of {recipe.data}"
    print(f"{describe(device)}, torch {torch.__version__}: {recipe.name}, {args.epochs} epochs of {seen}")
    for name in chosen:
        teacher = str(locate(args.teacher)) if "distillation" in name else None
        best, began = [], time.perf_counter()
        for seed in range(args.seeds):
            best.append(best_top1(replace(variant(recipe, name), teacher=teacher, seed=seed), dataset, device))
            print(f"  {name}, seed {seed}: {percent(best[-1])}", flush=True)
        took = duration((time.perf_counter() - began) / args.seeds)
        spread = f" +- {100 * statistics.stdev(best):.2f}" if len(best) > 1 else ""
        command = f'`python benchmarks/tune.py --recipe {args.recipe} --epochs {args.epochs} "{name}"`'
        result = f"{100 * statistics.mean(best):.2f}{spread} %"
        seeds = ", ".join(map(str, range(args.seeds)))
        row = (str(datetime.date.today()), command, f"{describe(device)}, {took} each", seeds, result, "")
        print(f"| {' | '.join(row)} |", flush=True)


def best_top1(recipe: Recipe, dataset: Dataset, device: torch.device) -> float:
    """Train a recipe and return its best val top-1, or 0 if the loss became nan before the first epoch ended."""
    precision = choose_precision(recipe.precision, device)
    teacher = read_teacher(recipe, device, CIFAR100, runs_in(device, precision))
    model = build(recipe, Start(None, CIFAR100, "")).to(device)
    training, bar = Training(model, recipe, device, precision, teacher=teacher), Bar()
    try:
        for event in loop.train(training, dataset, CIFAR100):
            if isinstance(event, EpochEnded):
                bar.move(recipe.name, event.epoch + 1, recipe.stages[0].epochs, "epoch")
    except Diverged as error:
        bar.say(f"  {error}")
    bar.close()
    return training.best.top1 or 0.0 if training.best else 0.0


if __name__ == "__main__":
    main()
