"""A few steps of a stage, to see how fast this machine is and how much memory the stage will want."""

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
from resnet_cifar.system.device import choose_precision, prepare, runs_in, wait_for
from resnet_cifar.system.memory import PeakMemory

_STEP_MACS = 1.5e11  # of a step on a CPU at most: about half a second on two cores
_STEPS = 4  # of which the first one is not counted
_KEPT_SIZE = 64  # pixels a side
_SLOW = 1e-6
_FLOAT = 4  # bytes
# Measured on a CPU, of runs at 32 to 224 px: what Python, torch and the libraries that it loads have, and what working
# through a batch takes at once beside what is kept of it for the way back (benchmarks/memory.py).
_LIBRARIES = 0.77 * 2**30
_WORKING = 1.18


@dataclass(frozen=True)
class Trial:
    """What a stage turned out to cost."""

    macs_per_second: float
    bytes: int
    """Of memory at its peak, on the device where it trains."""


def try_out(recipe: Recipe, stage: Stage, device: torch.device) -> Trial:
    """Train a few steps of `stage` on noise, in the way that a run does; on a CPU with fewer and smaller images."""
    prepare(device)
    peak = PeakMemory(device)
    small = _affordable(recipe, _brief(stage)) if device.type == "cpu" else _brief(stage)
    training = _training(_network(recipe, device), recipe, small, device)
    steps = _steps(training)
    next(steps)
    wait_for(device)
    began = time.perf_counter()
    for _ in range(_STEPS - 1):
        next(steps)
    wait_for(device)
    pace = (_STEPS - 1) * small.batch_size * cost.step_macs(recipe, small) / (time.perf_counter() - began)
    if device.type == "cpu":
        return Trial(pace, _told(training, recipe, stage))
    for _ in steps:  # what is left of the epoch: its end, with an evaluation
        pass
    return Trial(pace, (peak.bytes() or 0) + cost.data_bytes(recipe) + _feature_bytes(recipe, stage))


def memory_needed(recipe: Recipe, device: torch.device) -> int:
    """Bytes that a run of `recipe` will want at its peak. On a GPU each of its stages is tried out."""
    parts = [part for stage in recipe.stages for part in stage.parts()]
    if device.type == "cuda":
        return max(try_out(recipe, part, device).bytes for part in parts)
    network = _network(recipe, device)
    return max(_told(_training(network, recipe, _brief(part), device), recipe, part) for part in parts)


def _brief(stage: Stage) -> Stage:
    """A few steps that change nothing much, so that none can diverge."""
    return replace(stage, epochs=1, progression=(), warmup_epochs=0, views=0, lr=_SLOW, backbone_lr=None)


def _network(recipe: Recipe, device: torch.device) -> ResNet:
    torch.manual_seed(0)  # the weights' values do not matter
    return ResNet(recipe.arch, recipe.stem, len(recipe.dataset.labels)).to(device)


def _training(network: ResNet, recipe: Recipe, stage: Stage, device: torch.device) -> Training:
    only = replace(recipe, stages=(stage,), log_every=100_000, val_images=0)
    precision = choose_precision(recipe.precision, device)
    like = _network(recipe, device).to(memory_format=torch.channels_last).eval() if recipe.teacher else None
    teacher = Teacher(like, recipe.distillation_weight, runs_in(device, precision)) if like else None
    return Training(network, only, device, precision, teacher=teacher)


def _told(training: Training, recipe: Recipe, stage: Stage) -> int:
    """What a stage will want of a CPU's memory at its peak."""
    weights = sum(parameter.numel() for parameter in training.model.parameters())
    moved = 2 + bool(stage.ema_decay)  # themselves, momentum, the average
    best = sum(stage.epochs for stage in recipe.stages) > 1  # there are some beside those that learn on
    held = _FLOAT * weights * (moved + 1 + best + bool(recipe.teacher))  # with the gradients
    saved = _FLOAT * weights * (moved + 1)  # in the order of a file, with the best ones
    grows = saved if stage.caches_features else max(saved, _WORKING * _kept(training, stage))
    return int(cost.data_bytes(recipe) + _LIBRARIES + held + _feature_bytes(recipe, stage) + grows)


def _feature_bytes(recipe: Recipe, stage: Stage) -> int:
    views = stage.views * cost.training_images(recipe) + recipe.val_images
    return _FLOAT * ARCHITECTURES[recipe.arch].features * views if stage.caches_features else 0


def _affordable(recipe: Recipe, stage: Stage) -> Stage:
    """The stage with a batch, and if need be with images, that a CPU is done with in about half a second."""
    sizes = [size for size in (stage.image_size, 224, 128, 96, 64, 48, 32) if size <= stage.image_size]
    for size in sizes:
        smaller = replace(stage, image_size=size)
        fits = int(_STEP_MACS / cost.step_macs(recipe, smaller))
        if fits >= 4 or size == sizes[-1]:
            break
    return replace(smaller, batch_size=max(2, min(stage.batch_size, fits)))


def _kept(training: Training, stage: Stage) -> int:
    """Bytes that autograd keeps for the way back from a batch of the stage, told from few and small images.

    What is kept of an image grows with its area.
    """
    size = min(stage.image_size, _KEPT_SIZE)
    few, more = (_kept_of(training, size, batch) for batch in (2, 4))
    of_an_image = (more - few) / 2 * (stage.image_size / size) ** 2
    return int(few - (more - few) + of_an_image * stage.batch_size)


def _kept_of(training: Training, size: int, batch: int) -> int:
    saved = _Saved()
    inputs = torch.zeros(batch, 3, size, size, device=training.device).contiguous(memory_format=torch.channels_last)
    with torch.autograd.graph.saved_tensors_hooks(saved.count, lambda tensor: tensor), training.autocast():
        training.net(inputs)
    return saved.bytes


def _steps(training: Training) -> Iterator[Progress]:
    """Yields after each step. On a GPU, where more memory goes into an evaluation than is left, one follows."""
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


class _Saved:
    """Counts what autograd keeps for the way back."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self.bytes = 0

    def count(self, tensor: torch.Tensor) -> torch.Tensor:
        """Count a tensor's memory, once."""
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor
