"""What each part of a recipe is worth: variants of it, trained on the same pictures and judged on val alone.

    python benchmarks/tune.py [VARIANT ...] [--recipe scratch] [--epochs 30] [--seeds 2] [--teacher RUN]

Prints rows for benchmarks/EXPERIMENTS.md. The test pictures are never looked at.
"""

import argparse
import datetime
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.pop(0)  # this folder, whose profile.py is not the one that torch looks for
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from resnet_cifar import loop
from resnet_cifar.config import AUGMENTS, Recipe
from resnet_cifar.data import CIFAR100, Dataset, load
from resnet_cifar.device import choose_device, choose_precision, describe, runs_in
from resnet_cifar.errors import Diverged
from resnet_cifar.events import EpochEnded
from resnet_cifar.recipes import RECIPES, recipe_named
from resnet_cifar.run_dir import locate
from resnet_cifar.tables import duration
from resnet_cifar.terminal import Bar, watch
from resnet_cifar.training import Training
from resnet_cifar.weights import Start, build, read_teacher


def stages(**changes: object) -> Callable[[Recipe], Recipe]:
    """Other values in every stage."""
    return lambda recipe: replace(recipe, stages=tuple(stage.changed(**changes) for stage in recipe.stages))


def scaled(factor: int) -> Callable[[Recipe], Recipe]:
    """Larger batches at a rate as much higher."""

    def change(recipe: Recipe) -> Recipe:
        first = recipe.stages[0]
        return stages(batch_size=factor * first.batch_size, lr=factor * first.lr)(recipe)

    return change


VARIANTS: dict[str, Callable[[Recipe], Recipe]] = {
    "as it is": lambda recipe: recipe,
    "stock stem at 128 px": lambda recipe: stages(image_size=128)(replace(recipe, stem="stock")),
    "not mixed": stages(augment=AUGMENTS["erase"]),
    "mixed to the end": stages(unmixed=0.0),
    "trivial, not mixed": stages(augment=AUGMENTS["trivial"]),
    "strongest": stages(augment=AUGMENTS["strongest"]),
    "cutmix alone": stages(augment=replace(AUGMENTS["strong"], mixup=0.0, cutmix=0.5)),
    "not erased": stages(augment=replace(AUGMENTS["strong"], erase=0.0)),
    "labels as they are": stages(label_smoothing=0.0),
    "no average": stages(averaging=0.0),
    "weight decay 2e-4": stages(weight_decay=2e-4),
    "weight decay 1e-3": stages(weight_decay=1e-3),
    "half the rate": stages(lr=0.05),
    "twice the rate": stages(lr=0.2),
    "batch and rate times 4": scaled(4),
    "taught": lambda recipe: replace(recipe, distillation=0.5),
    "taught by the teacher alone": lambda recipe: replace(recipe, distillation=1.0),
}


def main() -> None:
    """Train the variants and print a row for each."""
    parser = argparse.ArgumentParser(epilog=f"variants: {', '.join(VARIANTS)}")
    parser.add_argument("variant", nargs="*", help="those without a teacher, unless named")
    tuned = [recipe.name for recipe in RECIPES.values() if recipe.init == "scratch"]
    parser.add_argument("--recipe", default="scratch", choices=tuned)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--train-images", type=int)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--teacher", metavar="RUN", help="for the taught ones")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    chosen = args.variant or [name for name in VARIANTS if "taught" not in name]
    for name in chosen:
        if name not in VARIANTS:
            parser.error(f"there is no variant {name!r}; there are {', '.join(VARIANTS)}.")
        if "taught" in name and args.teacher is None:
            parser.error(f"{name!r} needs --teacher RUN.")
    device, data_dir = choose_device(args.device), os.environ.get("CIFAR100_DIR")
    recipe = stages(epochs=args.epochs)(replace(recipe_named(args.recipe), train_images=args.train_images))
    recipe = recipe if data_dir else replace(recipe, data="synthetic", train_images=None)
    dataset = watch(load(recipe, Path(data_dir) if data_dir else None, device))
    seen = f"{len(dataset.train):,} pictures of {recipe.data}"
    print(f"{describe(device)}, torch {torch.__version__}: {recipe.name}, {args.epochs} epochs of {seen}")
    print("| date | variant | seeds | best val top-1 | time of one |\n|---|---|---|---|---|")
    for name in chosen:
        teacher = str(locate(args.teacher)) if "taught" in name else None
        variant = replace(VARIANTS[name](recipe), teacher=teacher)
        began = time.perf_counter()
        best = [best_top1(replace(variant, seed=seed), dataset, device) for seed in range(args.seeds)]
        took = duration((time.perf_counter() - began) / args.seeds)
        spread = f" +- {100 * statistics.stdev(best):.2f}" if len(best) > 1 else ""
        result = f"{100 * statistics.mean(best):.2f}{spread} %"
        print(f"| {datetime.date.today()} | {name} | {args.seeds} | {result} | {took} |", flush=True)


def best_top1(recipe: Recipe, dataset: Dataset, device: torch.device) -> float:
    """Of val, over all epochs; 0 where the loss did not stay finite."""
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
