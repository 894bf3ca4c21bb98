"""A training step: forward and backward pass, optimizer update, EMA."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.engine.state import Training
from resnet_cifar.system.device import is_out_of_memory, release_memory
from resnet_cifar.system.distributed import without_all_reduce


@dataclass
class Batch:
    """One step's images, as far as this process computes them."""

    inputs: Tensor
    """(B, 3, image_size, image_size) images or (B, features) cached features."""
    targets: Tensor
    """(B,) labels, or (B, classes) probabilities of mixed images."""
    images: int
    """Images of the whole batch, over all processes."""


def train_step(training: Training, batch: Batch) -> Tensor:
    """Take one optimizer step.

    When memory runs out for the first time, the step is repeated in two micro-batches, and so are all that follow.

    Returns (2,) on the device: this process's part of the batch's mean loss, and its hits.
    """
    result = None
    try:
        result = _backward(training, batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or not _can_be_halved(training, batch):
            raise
    if result is None:  # outside of `except`: the error's traceback holds the activations
        training.micro_batches = 2
        training.optimizer.zero_grad(set_to_none=True)
        release_memory(training.device)
        result = _backward(training, batch)  # BatchNorm statistics have seen the first images twice; nothing else has
    training.optimizer.step()
    if training.ema is not None:
        training.ema.update()
    return result


def _can_be_halved(training: Training, batch: Batch) -> bool:
    """Whether to try micro-batches: once, and never with several processes, where one would wait for the other."""
    return training.micro_batches == 1 and training.world.size == 1 and len(batch.inputs) >= 4


def _backward(training: Training, batch: Batch) -> Tensor:
    """Compute the batch's gradients, in micro-batches."""
    micro_batches = max(1, min(training.micro_batches, len(batch.inputs) // 2))  # BatchNorm needs two images
    pairs = zip(batch.inputs.chunk(micro_batches), batch.targets.chunk(micro_batches), strict=True)
    training.optimizer.zero_grad(set_to_none=True)
    results = []
    for number, (inputs, targets) in enumerate(pairs, start=1):
        last = number == micro_batches
        with nullcontext() if last else without_all_reduce(training.shared_net):
            results.append(_backward_of_micro_batch(training, inputs, targets, len(inputs) / batch.images))
    return torch.stack(results).sum(0)


def _backward_of_micro_batch(training: Training, inputs: Tensor, targets: Tensor, share: float) -> Tensor:
    """Accumulate gradients of `share` of the batch's mean loss."""
    with training.autocast():
        logits = training.module_for(inputs)(inputs)
    loss = _mean_loss(training, inputs, logits.float(), targets) * share
    # Processes average their gradients; the sum is what a single process would have.
    (loss * training.world.size).backward()  # type: ignore[no-untyped-call]
    labels = targets if targets.ndim == 1 else targets.argmax(1)  # the larger part of a mixed image
    hits = (logits.detach().argmax(1) == labels).sum()
    return torch.stack((loss.detach(), hits.to(loss.dtype)))


def _mean_loss(training: Training, inputs: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """Mean loss of images; each counts by its class where classes have weights."""
    goal, smoothing = targets, training.stage.label_smoothing
    if training.teacher is not None and not training.stage.caches_features:  # a teacher sees images, not features
        goal, smoothing = training.teacher.targets(inputs, targets, smoothing), 0.0
    weights = training.class_weights
    if weights is None:
        return F.cross_entropy(logits, goal, label_smoothing=smoothing)
    # Not `weight=`: it would also weigh the classes among which smoothing spreads the target of every image.
    losses = F.cross_entropy(logits, goal, label_smoothing=smoothing, reduction="none")
    return (losses * (weights[targets] if targets.ndim == 1 else targets @ weights)).mean()
