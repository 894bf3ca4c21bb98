"""Seconds of training until val top-1 first reaches published results, and test top-1 at the end.

    python benchmarks/time_to_accuracy.py [--recipe sprint] [--epochs N] [--seeds 3] [--device auto] [--reach 69.54 ...]

Epochs are evaluated on val, which is cut from train; each seed's run is tested once, at its end. Only training is
counted, from the first step on, without setup and evaluation. The time until the first step is done is printed beside
it, and how much of it had passed when the network was compiled.
"""

import argparse
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from resnet_cifar.cli.terminal import watch
from resnet_cifar.data.dataset import load
from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.data.split import Dataset
from resnet_cifar.engine import loop
from resnet_cifar.engine.evaluate import test
from resnet_cifar.engine.state import Training
from resnet_cifar.events import EpochEnded, Progress
from resnet_cifar.model.initial import Start, build
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.presets import recipe_named
from resnet_cifar.report.text import gibibytes
from resnet_cifar.system.device import choose_device, choose_precision, describe, prepare
from resnet_cifar.system.memory import PeakMemory
from resnet_cifar.training.stopwatch import Stopwatch

PUBLISHED = (69.54, 76.76, 78.01, 79.78)  # test top-1 of others, in percent


class Race:
    """One run, and the seconds after which it reached each result."""

    def __init__(self, recipe: Recipe, dataset: Dataset, device: torch.device, goals: list[float]) -> None:
        began = time.perf_counter()
        model = build(recipe, Start(None, CIFAR100, "")).to(device)
        training = Training(model, recipe, device, choose_precision(recipe.precision, device))
        self.before: float | None = None
        self.reached: dict[float, float] = {}
        self.compiling = seconds = 0.0
        for event in Stopwatch().timed(loop.train(training, dataset, CIFAR100)):
            if self.before is None and isinstance(event, Progress) and event.phase == "train":
                self.before = time.perf_counter() - began
            if isinstance(event, Progress) and event.phase == "compile":
                self.compiling = time.perf_counter() - began
            if isinstance(event, EpochEnded) and event.val:
                seconds += event.seconds or 0
                top1 = 100 * max(event.val.top1, event.ema_val.top1 if event.ema_val else 0)
                for goal in goals:
                    if top1 >= goal and goal not in self.reached:
                        self.reached[goal] = seconds
                        print(f"  {goal:.2f} % after {seconds:.1f} s", flush=True)
        self.seconds = seconds
        assert training.best is not None
        model.load_state_dict(training.best.weights)
        size = recipe.stages[-1].image_size
        summary = watch(test(model, dataset.test, Preprocess(size, CIFAR100, device), training.autocast))
        self.test = 100 * summary["top1"]


def main() -> None:
    """Train all seeds and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipe", default="sprint")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--reach", type=float, nargs="+", default=list(PUBLISHED), help="val top-1 in percent")
    args = parser.parse_args()
    recipe, device = recipe_named(args.recipe), choose_device(args.device)
    prepare(device)
    if recipe.init != "scratch":
        parser.error(f"{recipe.name} starts from {recipe.init}; use a recipe that starts from scratch.")
    if args.epochs:
        recipe = replace(recipe, stages=tuple(stage.changed(epochs=args.epochs) for stage in recipe.stages))
    data_dir = os.environ.get("CIFAR100_DIR")
    recipe = recipe if data_dir else replace(recipe, data="synthetic", train_images=None)
    peak = PeakMemory(device)
    dataset = watch(load(recipe, Path(data_dir) if data_dir else None, device))
    epochs = sum(stage.epochs for stage in recipe.stages)
    print(f"{describe(device)}, torch {torch.__version__}: {recipe.name}, {epochs} epochs on {recipe.data}")
    goals = "  ".join(f"{goal:.2f} % val" for goal in args.reach)
    print(f"seed  compiled  first step  {goals}         total  test top-1", flush=True)
    races = []
    for seed in range(args.seeds):
        race = Race(replace(recipe, seed=seed), dataset, device, args.reach)
        races.append(race)
        times = [f"{race.reached[goal]:.1f} s" if goal in race.reached else "-" for goal in args.reach]
        reached = "  ".join(f"{text:>11}" for text in times)
        setup = f"{race.compiling:6.1f} s  {race.before or 0:8.1f} s"
        print(f"{seed:4}  {setup}  {reached}  {race.seconds:10.1f} s  {race.test:7.2f} %", flush=True)
    tests = [race.test for race in races]
    spread = f" +- {statistics.stdev(tests):.2f}" if len(tests) > 1 else ""
    memory_text = f"; peak memory {gibibytes(memory)}" if (memory := peak.bytes()) else ""
    print(f"test top-1 {statistics.mean(tests):.2f}{spread} % over {len(tests)} seeds{memory_text}")


if __name__ == "__main__":
    main()
