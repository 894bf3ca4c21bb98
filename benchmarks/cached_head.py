"""Cost of training only the head for 100 epochs on cached features, relative to one epoch without the cache.

    python benchmarks/cached_head.py [--image-size 64] [--images 5000] [--device auto]

Runs the head stage of the recipe `transfer` twice: with cached features, and for a single epoch in which every image
passes through the backbone. ResNet-34 with random weights, which cost the same as trained ones. Both runs include
evaluation on 1,000 val images.
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

from resnet_cifar.cli.terminal import watch
from resnet_cifar.data.dataset import load
from resnet_cifar.data.preprocess import CIFAR100
from resnet_cifar.engine import loop
from resnet_cifar.engine.state import Training
from resnet_cifar.model.initial import Start, build
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.system.device import choose_device, choose_precision, describe, prepare


def seconds(stage: Stage, args: argparse.Namespace, device: torch.device) -> float:
    """Return the duration of a run of this one stage, without loading the data."""
    data_dir = os.environ.get("CIFAR100_DIR")
    recipe = Recipe(
        name="head",
        stages=(stage,),
        data="cifar100" if data_dir else "synthetic",
        train_images=args.images,
        val_images=1000,
    )
    dataset = watch(load(recipe, Path(data_dir) if data_dir else None, device))
    model = build(recipe, Start(None, CIFAR100, "")).to(device)
    training = Training(model, recipe, device, choose_precision("auto", device))
    began = time.perf_counter()
    for _ in loop.train(training, dataset, CIFAR100):
        pass
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = choose_device(args.device)
    prepare(device)
    stage = replace(RECIPES["transfer"].stages[0], image_size=args.image_size)
    print(f"{describe(device)}, torch {torch.__version__}, {args.images} images at {args.image_size} px")
    seconds(replace(stage, epochs=1, views=0), replace_images(args, 500), device)  # warm-up, not counted
    uncached = seconds(replace(stage, epochs=1, views=0), args, device)
    print(f"one uncached epoch                                {uncached:7.1f} s", flush=True)
    cached = seconds(stage, args, device)
    print(f"{stage.epochs} epochs on {stage.views} views of features computed once  {cached:7.1f} s")
    print(f"ratio {cached / uncached:.2f}")


def replace_images(args: argparse.Namespace, images: int) -> argparse.Namespace:
    """Copy the arguments with a different number of images."""
    return argparse.Namespace(**vars(args) | {"images": images})


if __name__ == "__main__":
    main()
