"""How many steps an epoch has, and the learning rate at each of them."""

import math

from resnet_cifar.recipe.config import Stage


def steps_per_epoch(images: int, batch_size: int, processes: int = 1) -> int:
    """Every image is seen once an epoch; the last batch is what is left, but never a single image for a process,
    which BatchNorm could make nothing of: then it joins the batch before it.
    """
    return max(1, (images + batch_size - 2 * processes) // batch_size)


def learning_rate_factor(stage: Stage, step: int, steps: int) -> float:
    """Learning rate at a step of a stage (from 0), as a fraction of its peak: a linear warm-up, then down to 0.

    steps: steps per epoch. The descent is half a cosine (Loshchilov and Hutter 2017) or a straight line.
    """
    warmup, total = stage.warmup_epochs * steps, stage.epochs * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, total - warmup)
    return 1 - done if stage.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
