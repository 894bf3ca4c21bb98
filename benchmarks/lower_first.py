"""Whether training at a lower resolution first pays: the same time, spent on fewer epochs or on smaller pictures.

    python benchmarks/lower_first.py [--recipe small-budget] [--train-images 10000] [--epochs 6] [--seeds 1]

One run has every epoch at the recipe's size. The other begins at half of it, grows to the whole size over the first two
thirds of its epochs, and has as many of them as cost the same in multiplications. Val is at the whole size in both.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.pop(0)  # this folder, whose profile.py is not the one that torch looks for
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from resnet_cifar import loop
from resnet_cifar.batches import Pictures
from resnet_cifar.config import Recipe, Stage
from resnet_cifar.cost import step_macs
from resnet_cifar.data import CIFAR100, Dataset, Preprocess, load
from resnet_cifar.device import choose_device, choose_precision, describe
from resnet_cifar.events import EpochEnded
from resnet_cifar.recipes import recipe_named
from resnet_cifar.terminal import watch
from resnet_cifar.training import Training
from resnet_cifar.weights import Start, build

GROWN = 2 / 3  # of the epochs, after which pictures have their whole size


def main() -> None:
    """Train both ways and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipe", default="small-budget")
    parser.add_argument("--train-images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    recipe, device = replace(recipe_named(args.recipe), train_images=args.train_images), choose_device(args.device)
    (stage,) = recipe.stages
    data_dir = os.environ.get("CIFAR100_DIR")
    recipe = recipe if data_dir else replace(recipe, data="synthetic")
    dataset = watch(load(recipe, Path(data_dir) if data_dir else None, device))
    more = args.epochs
    while cost(recipe, stage, more + 1) <= args.epochs * step_macs(recipe, stage):
        more += 1
    print(
        f"{describe(device)}, torch {torch.__version__}: {recipe.name}, {args.train_images:,} images of {recipe.data}"
    )
    run(recipe, growing(stage, 2), dataset, device)  # does not count: what is first has kernels to load
    print("seed  sizes                            val top-1      time")
    for seed in range(args.seeds):
        for sizes in ([stage.image_size] * args.epochs, growing(stage, more)):
            top1, seconds = run(replace(recipe, seed=seed), sizes, dataset, device)
            print(f"{seed:4}  {' '.join(map(str, sizes)):32}  {100 * top1:6.2f} %  {seconds:6.1f} s", flush=True)


def growing(stage: Stage, epochs: int) -> list[int]:
    """Pixels a side in each epoch: from half to whole, in steps of 16 (of 8 where the whole is small)."""
    whole, grid = stage.image_size, 16 if stage.image_size >= 64 else 8
    parts = [min(1.0, 0.5 + 0.5 * epoch / (GROWN * epochs)) for epoch in range(epochs)]
    return [min(whole, round(part * whole / grid) * grid) for part in parts]


def cost(recipe: Recipe, stage: Stage, epochs: int) -> float:
    """Of growing pictures, per picture."""
    return sum(step_macs(recipe, replace(stage, image_size=size)) for size in growing(stage, epochs))


def run(recipe: Recipe, sizes: list[int], dataset: Dataset, device: torch.device) -> tuple[float, float]:
    """Best val top-1, and the seconds that all of it took."""
    stage = recipe.stages[0].changed(epochs=len(sizes))
    recipe = replace(recipe, stages=(stage,))
    ways = {size: Preprocess(size, CIFAR100, device) for size in sizes}

    class Growing(Pictures):
        def training_batch(
            self, indices: Tensor, epoch: int, generator: torch.Generator, part: slice
        ) -> tuple[Tensor, Tensor]:
            self._preprocess = ways[sizes[epoch]]
            return super().training_batch(indices, epoch, generator, part)

    loop.Pictures = Growing  # type: ignore[attr-defined]
    model = build(recipe, Start(None, CIFAR100, "")).to(device)
    training = Training(model, recipe, device, choose_precision(recipe.precision, device))
    began, best = time.perf_counter(), 0.0
    for event in loop.train(training, dataset, CIFAR100):
        if isinstance(event, EpochEnded) and event.val:
            best = max(best, event.val.top1, event.averaged_val.top1 if event.averaged_val else 0)
    return best, time.perf_counter() - began


if __name__ == "__main__":
    main()
