"""Trials: a few training steps of a stage, to measure this machine's speed and estimate the stage's peak memory."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from resnet_cifar.data.batches import Images
from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.data.split import Dataset, Split
from resnet_cifar.engine import loop
from resnet_cifar.engine.state import Training
from resnet_cifar.events import Progress
from resnet_cifar.model.distillation import Teacher
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.system.device import choose_precision, prepare, runs_in, threads_of_a_run, wait_for
from resnet_cifar.system.memory import PeakMemory

TRIAL_SECONDS = 15.0  # for all trials of a recipe together, on a CPU
_STEP_SECONDS = 0.5  # of a step on a CPU, about
_MACS_PER_SECOND = 3e11  # assumed, of two cores
_STEPS = 4  # the first is not timed
_ACTIVATION_SIZE = 64  # pixels per side; activations of larger images are extrapolated
_TINY_LR = 1e-6
_FLOAT = 4  # bytes
# Measured on a CPU, over runs at 32 to 224 px (benchmarks/memory.py): resident memory of Python, torch and the other
# libraries, and the peak of a step relative to the activations that autograd saves for backward.
_LIBRARIES = 0.67 * 2**30
_WORKING = 1.18


@dataclass(frozen=True)
class Trial:
    """Measured speed and peak memory of a stage."""

    macs_per_second: float
    bytes: int
    """Peak memory on the device that trains."""


def try_out(recipe: Recipe, stage: Stage, device: torch.device, limit: float = TRIAL_SECONDS) -> Trial:
    """Train a few steps of `stage` on noise, with a run's own loop. A CPU gets fewer and smaller images.

    limit: seconds on a CPU, which has time for one step at least. Less time means smaller and fewer steps.
    """
    prepare(device)
    peak = PeakMemory(device)
    if device.type == "cpu":
        with threads_of_a_run():
            return _try_on_cpu(recipe, stage, device, limit)
    small = _short(stage)
    steps = _steps(_training(_network(recipe, device), recipe, small, device))
    pace = small.batch_size * cost.step_macs(recipe, small) / _seconds_per_step(steps, device, math.inf)
    for _ in steps:  # the rest of the epoch, which ends with an evaluation
        pass
    return Trial(pace, (peak.bytes() or 0) + cost.data_bytes(recipe) + _feature_bytes(recipe, stage))


def _try_on_cpu(recipe: Recipe, stage: Stage, device: torch.device, limit: float) -> Trial:
    deadline = time.monotonic() + limit
    step_seconds = min(_STEP_SECONDS, limit / (3 * _STEPS))  # the rest is for building the network
    small = _affordable(recipe, _short(stage), _MACS_PER_SECOND * step_seconds)
    training = _training(_network(recipe, device), recipe, small, device)
    needed = _cpu_bytes(training, recipe, stage)
    left = max(deadline - time.monotonic(), limit / 3)  # so that a slow start does not leave only a first, slow step
    seconds = _seconds_per_step(_steps(training), device, left)
    return Trial(small.batch_size * cost.step_macs(recipe, small) / seconds, needed)


def _seconds_per_step(steps: Iterator[Progress], device: torch.device, limit: float) -> float:
    """Measure up to three steps after a first one, which counts only if there is no time for others."""
    began = time.perf_counter()
    next(steps)
    wait_for(device)
    warm = now = time.perf_counter()
    took, timed = warm - began, 0
    while timed < _STEPS - 1 and now - began + took < limit:
        next(steps)
        timed += 1
        took, now = time.perf_counter() - now, time.perf_counter()
    wait_for(device)
    return (time.perf_counter() - warm) / timed if timed else took


def memory_needed(recipe: Recipe, device: torch.device) -> int:
    """Estimate the peak memory of a run in bytes. On a GPU, every stage gets a trial."""
    parts = [part for stage in recipe.stages for part in stage.parts()]
    if device.type == "cuda":
        return max(try_out(recipe, part, device).bytes for part in parts)
    network = _network(recipe, device)
    return max(_cpu_bytes(_training(network, recipe, _short(part), device), recipe, part) for part in parts)


def _short(stage: Stage) -> Stage:
    """One epoch at a tiny learning rate, which cannot diverge."""
    return replace(stage, epochs=1, progression=(), warmup_epochs=0, views=0, lr=_TINY_LR, backbone_lr=None)


def _network(recipe: Recipe, device: torch.device) -> ResNet:
    torch.manual_seed(0)  # any weights will do
    return ResNet(recipe.arch, recipe.stem, len(recipe.dataset.labels)).to(device)


def _training(network: ResNet, recipe: Recipe, stage: Stage, device: torch.device) -> Training:
    only = replace(recipe, stages=(stage,), log_every=100_000, val_images=0)
    precision = choose_precision(recipe.precision, device)
    like = _network(recipe, device).to(memory_format=torch.channels_last).eval() if recipe.teacher else None
    teacher = Teacher(like, recipe.distillation_weight, runs_in(device, precision)) if like else None
    return Training(network, only, device, precision, teacher=teacher)


def _cpu_bytes(training: Training, recipe: Recipe, stage: Stage) -> int:
    """Estimate a stage's peak memory on a CPU."""
    weights = sum(parameter.numel() for parameter in training.model.parameters())
    state = 2 + bool(stage.ema_decay)  # weights, momentum, EMA
    best = sum(stage.epochs for stage in recipe.stages) > 1  # the best epoch's weights, kept beside the current ones
    held = _FLOAT * weights * (state + 1 + best + bool(recipe.teacher))  # + 1: gradients
    save = _FLOAT * weights * (state + 1)  # a copy of the state and the best weights while saving
    peak = save if stage.caches_features else max(save, _WORKING * _activation_bytes(training, stage))
    return int(cost.data_bytes(recipe) + _LIBRARIES + held + _feature_bytes(recipe, stage) + peak)


def _feature_bytes(recipe: Recipe, stage: Stage) -> int:
    views = stage.views * cost.training_images(recipe) + recipe.val_images
    return _FLOAT * ARCHITECTURES[recipe.arch].features * views if stage.caches_features else 0


def _affordable(recipe: Recipe, stage: Stage, step_macs: float) -> Stage:
    """Reduce the batch size, and if necessary the image size, until a step has `step_macs` multiply-accumulates."""
    sizes = [size for size in (stage.image_size, 224, 128, 96, 64, 48, 32) if size <= stage.image_size]
    for size in sizes:
        smaller = replace(stage, image_size=size)
        fits = int(step_macs / cost.step_macs(recipe, smaller))
        if fits >= 4 or size == sizes[-1]:
            break
    return replace(smaller, batch_size=max(2, min(stage.batch_size, fits)))


def _activation_bytes(training: Training, stage: Stage) -> int:
    """Bytes that autograd saves for backward in a step of the stage, extrapolated from few and small images.

    Bytes per image grow with its area; what does not depend on the batch size is counted once.
    """
    size = min(stage.image_size, _ACTIVATION_SIZE)
    two, four = (_saved_bytes(training, size, batch) for batch in (2, 4))
    per_image = (four - two) / 2 * (stage.image_size / size) ** 2
    return int(two - (four - two) + per_image * stage.batch_size)


def _saved_bytes(training: Training, size: int, batch: int) -> int:
    saved = _SavedTensors()
    inputs = torch.zeros(batch, 3, size, size, device=training.device).contiguous(memory_format=torch.channels_last)
    with torch.autograd.graph.saved_tensors_hooks(saved.count, lambda tensor: tensor), training.autocast():
        training.net(inputs)
    return saved.bytes


def _steps(training: Training) -> Iterator[Progress]:
    """Yield after each step. On a GPU, an evaluation follows, because it may need more memory than a step."""
    count = training.stage.batch_size * _STEPS
    generator = torch.Generator().manual_seed(0)
    spec = training.recipe.dataset
    images = torch.randint(0, 256, (count, 3, spec.side, spec.side), generator=generator, dtype=torch.uint8)
    train = Split(images, torch.arange(count) % len(spec.labels), spec).to(training.device)
    preprocess = Preprocess(training.stage.image_size, CIFAR100, training.device)
    evaluated = Images(train, preprocess, training.model.stem).evaluation_batch
    val = train.take(torch.arange(evaluated if training.device.type == "cuda" else 0, device=training.device) % count)
    nothing = train.take(torch.arange(0, device=training.device))
    events = loop.train(training, Dataset(train, val, nothing), CIFAR100)
    return (event for event in events if isinstance(event, Progress) and event.phase == "train")


class _SavedTensors:
    """Total size of the tensors that autograd saves for backward, parameters excluded."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self.bytes = 0

    def count(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add a tensor's storage, each storage once.

        Returns the tensor without its history: an output that its own graph saves would keep the whole graph in memory.
        """
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor.detach()
