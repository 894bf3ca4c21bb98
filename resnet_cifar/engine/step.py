"""A training step: gradients of a batch, in micro-batches after an out-of-memory error, and the update."""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.engine.state import Training
from resnet_cifar.system.device import is_out_of_memory, release_memory
from resnet_cifar.system.distributed import unsynchronised


def update(training: Training) -> None:
    """Take an optimizer step and move the EMA."""
    training.optimizer.step()
    if training.ema is not None:
        training.ema.update()


def gradients(training: Training, inputs: Tensor, targets: Tensor, images: int) -> Tensor:
    """Forward and backward pass of this process's part of a batch of `images`, in micro-batches.

    Returns (2,): the part's share of the batch's mean loss, and its hits (of the larger share, where mixed).
    """
    micro_batches = max(1, min(training.micro_batches, len(inputs) // 2))  # BatchNorm needs two
    rows = []
    training.optimizer.zero_grad(set_to_none=True)
    both = zip(inputs.chunk(micro_batches), targets.chunk(micro_batches), strict=True)
    for number, (some, their) in enumerate(both, start=1):
        with nullcontext() if number == micro_batches else unsynchronised(training.shared_net):
            rows.append(_go_through(training, some, their, images))
    return torch.stack(rows).sum(0)


def _go_through(training: Training, inputs: Tensor, targets: Tensor, images: int) -> Tensor:
    """Add to the gradients what some images of a batch of `images` have to say; (2,) as in `gradients`."""
    with training.autocast():
        logits = training.way(inputs)(inputs)
    wanted, smoothing = training.wanted(inputs, targets)
    loss = F.cross_entropy(logits.float(), wanted, label_smoothing=smoothing)
    loss = loss * (len(inputs) / images)
    loss_here = loss * training.world.size  # processes average their gradients, which are to be added up
    loss_here.backward()  # type: ignore[no-untyped-call]
    labels = targets if targets.ndim == 1 else targets.argmax(1)
    hits = (logits.detach().argmax(1) == labels).sum()
    return torch.stack((loss.detach(), hits.to(loss.dtype)))


def gradients_if_memory_lasts(training: Training, inputs: Tensor, targets: Tensor, images: int) -> Tensor | None:
    """The same; None where memory ran out for the first time, and the batch is to go through in micro-batches.

    Nothing is left of the try but what BatchNorm layers have noted of the batch. Processes that train together can't do
    so: one would wait for the other.
    """
    try:
        return gradients(training, inputs, targets, images)
    except RuntimeError as error:
        # cuDNN looks for a way to compute that fits, and says that it found none.
        no_memory = is_out_of_memory(error) or "unable to find an engine" in str(error).lower()
        if not no_memory or training.micro_batches > 1 or training.world.size > 1 or len(inputs) < 4:
            raise
    # Only here, where the error is gone, is what it held free.
    training.optimizer.zero_grad(set_to_none=True)
    training.micro_batches = 2
    release_memory(training.device)
    return None
