"""Steps per epoch, and the learning rate at each step."""

import math

from resnet_cifar.recipe.config import Stage


def steps_per_epoch(images: int, batch_size: int, processes: int = 1) -> int:
    """Return the number of steps in which every image is used once.

    The last batch may be smaller, but has at least two images for each process, because BatchNorm cannot normalize a
    single one; fewer join the batch before it.
    """
    return max(1, (images + batch_size - 2 * processes) // batch_size)


def learning_rate_factor(stage: Stage, step: int, steps: int) -> float:
    """Return the learning rate at a step of a stage, counted from 0, as a fraction of its peak.

    A linear warm-up, then down to 0 along half a cosine (Loshchilov and Hutter 2017) or a straight line.
    steps: steps per epoch.
    """
    warmup, total = stage.warmup_epochs * steps, stage.epochs * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, total - warmup)
    return 1 - done if stage.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
