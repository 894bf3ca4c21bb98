"""What tests are built from: small recipes, runs, checkpoints, child processes."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from resnet_cifar import events
from resnet_cifar.data.dataset import load
from resnet_cifar.data.preprocess import CIFAR100
from resnet_cifar.engine.loop import train
from resnet_cifar.engine.state import Training
from resnet_cifar.events import EpochEnded, Metrics, RunStarted, StageEnded, StageStarted, StepLogged
from resnet_cifar.model.checkpoint import ModelConfig, save_checkpoint
from resnet_cifar.model.initial import Start, build
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import HEAD, Recipe, Stage
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.estimate import Estimate, Estimates

ROOT = Path(__file__).resolve().parent.parent

CPU = torch.device("cpu")


def stage(**changes) -> Stage:
    fields = {"name": "everything", "epochs": 2, "lr": 0.05, "batch_size": 16, "augmentation": AUGMENTATIONS["erase"]}
    return Stage(**fields | changes)


def recipe(*stages: Stage, **changes) -> Recipe:
    """The tiny network on 100 synthetic images: 7 steps an epoch, the last one on 4 images."""
    fields = {
        "name": "tiny",
        "arch": "tiny",
        "data": "synthetic",
        "train_images": 100,
        "val_images": 100,
        "log_every": 3,
        "stages": stages or (stage(),),
    }
    return Recipe(**fields | changes)


def staged_recipe(**changes) -> Recipe:
    """One stage of each kind: features computed once, part of the network, all of it with an average."""
    return recipe(
        stage(name="head", trainable=HEAD, lr=0.1, augmentation=AUGMENTATIONS["standard"]),
        stage(name="top", epochs=1, trainable=("layer4", "fc"), augmentation=AUGMENTATIONS["strong"]),
        stage(name="everything", ema_decay=0.99, label_smoothing=0.1, warmup_epochs=0.5),
        **changes,
    )


def app(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    """Run the front door in a process of its own."""
    command = [sys.executable, str(ROOT / "app.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def spawn(*command: object, **options) -> subprocess.Popen[str]:
    """Start a Python child whose output can be read line by line."""
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # or a test in the background ignores it
        cwd=ROOT,
        **options,
    )


_children: list[subprocess.Popen[str]] = []


def start(*command: object, **options) -> subprocess.Popen[str]:
    """The same, of a child that dies with the test that starts it."""
    _children.append(spawn(*command, **options))
    return _children[-1]


def end_watchers(root: Path) -> None:
    """End the processes that still hold runs: one that follows a Job would wait for its Hub for ever."""
    for folder in root.glob("*/"):
        holder = RunDir(folder).holder()
        if holder and holder.pid:
            os.kill(holder.pid, signal.SIGKILL)


def within(seconds: float) -> float:
    """Time limit, in seconds, that stands for `seconds` on an idle machine: more on one as busy as this is now."""
    running = float(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    return seconds * max(1.0, 2 * max(running, os.getloadavg()[0]) / (os.cpu_count() or 1))


def wait(until: Callable[[], object], seconds: float = 60) -> float:
    """Wait until something is so; how many seconds that took."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < within(seconds), "in vain"
        time.sleep(0.02)
    return time.monotonic() - began


def memory() -> float:
    """MB that this process takes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def content(run: RunDir) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in run.path.iterdir()}


def result(work):
    """What a generator of progress comes to."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def begin(recipe: Recipe) -> tuple[Training, Iterator[events.Event]]:
    training = Training(build(recipe, Start(None, CIFAR100, "")), recipe, CPU, "fp32")
    return training, train(training, result(load(recipe, None, CPU)), CIFAR100)


def finish(recipe: Recipe) -> tuple[Training, list[events.Event]]:
    training, loop = begin(recipe)
    return training, list(loop)


def same_weights(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def of_kind(kind: type, said: list[events.Event]) -> list:
    return [event for event in said if isinstance(event, kind)]


def checkpoint(folder: Path, seed: int = 0, **changes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    config = ModelConfig(**{"arch": "tiny", "stem": "stock", "image_size": 64, "normalization": CIFAR100} | changes)
    save_checkpoint(folder, config, ResNet(config.arch, config.stem, len(config.labels)).state_dict())
    return folder


def told(folder: Path, recipe: Recipe, steps: int = 4) -> Record:
    """A record of a whole run, made up: of 10 images an epoch for each step."""
    run = RunDir.create(folder, recipe)
    run.append(RunStarted(recipe=recipe.name, device="cpu", precision="bf16", data_dir=None))
    done = 0
    for number, part in enumerate(recipe.stages):
        run.append(
            StageStarted(
                stage=number,
                name=part.name,
                epochs=part.epochs,
                steps=steps,
                images=10 * steps,
                trainable=part.trainable,
                image_sizes=(32,),
                batch_size=10,
            )
        )
        for epoch in range(part.epochs):
            for step in range(steps):
                done += 1
                run.append(
                    StepLogged(
                        stage=number,
                        epoch=epoch,
                        step=step,
                        loss=5 / math.sqrt(done) + 0.1 * math.sin(7 * done),
                        lr=0.1,
                        images=10 * (step + 1),
                        images_per_second=100.0 + step,
                    )
                )
            val = Metrics(loss=3 / math.sqrt(done), top1=1 - 1 / math.sqrt(done), top5=1 - 0.5 / math.sqrt(done))
            run.append(
                EpochEnded(
                    stage=number,
                    epoch=epoch,
                    lr=0.1,
                    train_loss=1.0,
                    train_top1=0.5,
                    val=val,
                    ema_val=val if part.ema_decay else None,
                    image_size=32,
                    best=True,
                    seconds=1.0,
                    images_per_second=100.0,
                )
            )
        run.append(StageEnded(stage=number, name=part.name, epochs=part.epochs, best_top1=0.5))
    return Record(run).read()


def known(estimates: Estimates, of) -> Estimate:
    deadline = time.monotonic() + 30
    while (estimate := estimates.of(of)) is None or estimate.bytes is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return estimate
