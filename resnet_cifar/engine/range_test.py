"""The learning-rate range test: a few steps at ever higher rates, until the loss rises.

Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3. The steps are those of a run
(`loop.take_step`), taken by a copy of the network.
"""

import copy
import math
import statistics
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch

from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.engine.loop import shuffled, source_of, take_step
from resnet_cifar.engine.optimizer import scale_learning_rates
from resnet_cifar.engine.state import Training
from resnet_cifar.events import Progress
from resnet_cifar.model.distillation import Teacher
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.recipe.schedule import steps_per_epoch

STEPS = 100
LOWEST, HIGHEST = 1e-5, 10.0
_OPENING = 0.2  # of the steps: their rates are too low to learn anything, so they show loss and noise at the start
_WINDOW = 0.1  # of the steps: so many are averaged by the smoothed loss
_RISE = 0.1  # of the loss at the start: more is divergence, unless single batches differ by more
_MARGIN = 10  # from the limit down to the suggestion


@dataclass(frozen=True)
class Point:
    """A step: the head's learning rate, the batch's loss, and the mean of the latest losses, the last ones most."""

    lr: float
    loss: float
    smoothed: float


@dataclass(frozen=True)
class RangeTest:
    """Losses by learning rate."""

    points: tuple[Point, ...]
    diverges_at: float | None
    """Learning rate at which the smoothed loss has risen clearly above its start, or a loss is not finite; None: none
    of those that were tried."""

    @property
    def limit(self) -> float:
        """Rate at which the loss diverges; if it does not, the one with the lowest smoothed loss."""
        return self.diverges_at or min(self.points, key=lambda point: point.smoothed).lr

    @property
    def suggestion(self) -> float:
        """A tenth of the limit, with two digits.

        The best rate is about half of the highest one that does not diverge (Bengio 2012, "Practical Recommendations
        for Gradient-Based Training of Deep Architectures", section 3.1.1), and the smoothed loss is late by a tenth of
        the test, a factor of four. The rate at which the loss falls fastest, which others suggest, is lost in the noise
        of so few batches.
        """
        return float(f"{max(1e-6, self.limit / _MARGIN):.1e}")


def rates(steps: int = STEPS, lowest: float = LOWEST, highest: float = HIGHEST) -> list[float]:
    """Return learning rates that grow by the same factor from step to step."""
    return [lowest * (highest / lowest) ** (step / (steps - 1)) for step in range(steps)]


def range_test(
    model: ResNet,
    recipe: Recipe,
    number: int,
    train: Split,
    normalization: Normalization,
    precision: str,
    teacher: Teacher | None,
    lrs: Sequence[float],
) -> Generator[Progress, None, RangeTest]:
    """Test stage `number` of a recipe at the learning rates `lrs` of the head; other groups keep their ratio to it.

    `model` and `train` must be on the same device; the model is not changed. A stage that caches features computes
    those of one view, of the images that the test needs.
    """
    stage, device = _opening(recipe.stages[number], len(lrs)), train.images.device
    stages = (*recipe.stages[:number], stage, *recipe.stages[number + 1 :])
    training = Training(copy.deepcopy(model), replace(recipe, stages=stages), device, precision, teacher=teacher)
    training.enter(number)
    if stage.caches_features:
        train = train.take(torch.arange(min(len(train), len(lrs) * stage.batch_size), device=device))
    source = yield from source_of(training, train, Preprocess(stage.image_size, normalization, device), learning=True)
    steps, position = steps_per_epoch(len(train), stage.batch_size), training.position
    points: list[Point] = []
    for step, lr in enumerate(lrs):
        position.epoch, position.step = divmod(step, steps)
        if position.step == 0:
            order = shuffled(training, len(train))
        scale_learning_rates(training.optimizer, lr / stage.lr)
        take_step(training, source, order)
        training.tally.read(training.world)
        loss = training.tally.close_window()
        yield Progress(phase="range", done=step + 1, total=len(lrs))
        if not math.isfinite(loss):
            return RangeTest(tuple(points), lr)
        points.append(Point(lr, loss, _smoothed([*(point.loss for point in points), loss], len(lrs))))
        if _diverges(points, len(lrs)):
            return RangeTest(tuple(points), lr)
    return RangeTest(tuple(points), None)


def _opening(stage: Stage, steps: int) -> Stage:
    """Return a stage in which every epoch is like the first one of `stage`. An EMA would change no loss."""
    return replace(
        stage,
        epochs=steps,
        warmup_epochs=0.0,
        progression=(),
        no_mix_fraction=0.0,
        augmentation=stage.at(0).augmentation,
        ema_decay=0.0,
        views=min(1, stage.views),
    )


def _smoothed(losses: Sequence[float], steps: int) -> float:
    """Average the losses so far, with weights that fall by the same factor with each step back."""
    keep = 1 - min(1.0, 1 / (_WINDOW * steps))
    weights = [keep**age for age in range(len(losses))]
    return sum(weight * loss for weight, loss in zip(weights, reversed(losses), strict=True)) / sum(weights)


def _diverges(points: Sequence[Point], steps: int) -> bool:
    """Whether the smoothed loss is clearly above the start, by more than the batches differ there."""
    opening = [point.loss for point in points[: max(2, round(_OPENING * steps))]]
    if len(points) <= len(opening):
        return False
    start = statistics.fmean(opening)
    return points[-1].smoothed > start + max(_RISE * start, statistics.stdev(opening))
