"""How many steps an epoch has, and the learning rate at each of them."""

import math

from resnet_cifar.config import Stage


def steps_per_epoch(images: int, batch_size: int, processes: int = 1) -> int:
    """Every picture is seen once an epoch; the last batch is what is left, but never a single picture for a process,
    which BatchNorm could make nothing of: then it joins the batch before it.
    """
    return max(1, (images + batch_size - 2 * processes) // batch_size)


def schedule(stage: Stage, step: int, steps: int) -> float:
    """The learning rate at a step of a stage as a part of its peak: a linear warm-up, then a half cosine to 0."""
    warmup, total = stage.warmup_epochs * steps, stage.epochs * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
