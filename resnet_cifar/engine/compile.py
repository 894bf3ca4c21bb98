"""torch.compile, for stages so long that fused operations repay the wait for them."""

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from resnet_cifar.data.batches import Source
from resnet_cifar.engine.state import Training
from resnet_cifar.events import Progress
from resnet_cifar.recipe import cost
from resnet_cifar.system.background import in_background
from resnet_cifar.system.device import release_memory, wait_for

# Multiply-accumulates of a stage's epochs of one image size. With a tenth won, at 250 TFLOP/s, so many win back 8 s:
# what it takes where what was compiled before is still there. Lesser GPUs, which are longer at it, win back the minute
# of a first time too.
_WORTH = 1e16
_BACKEND = "inductor"
_LONGEST_REASON = 500  # characters


def compile_where_it_pays(training: Training, source: Source) -> Iterator[Progress]:
    """Have a stage's whole batches go through a compiled network. Where that fails, say so and go on without it."""
    if not _pays(training) or len(source.labels) < training.stage.batch_size:
        return
    try:
        training.compiled = yield from in_background(
            lambda: _compiled(training, source), lambda: Progress(phase="compile", done=0, total=1)
        )
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
        warnings.warn(f"torch.compile failed, so training goes on without it: {reason}", stacklevel=2)
    release_memory(training.device)


def _pays(training: Training) -> bool:
    """On a CPU it never did; several processes go without, and so do batches that don't fit in memory as a whole."""
    stage, size = training.stage, training.settings.image_size
    macs = sum(cost.stage_macs(training.recipe, part) for part in stage.parts() if part.image_size == size)
    return (
        training.device.type == "cuda"
        and training.world.size == training.micro_batches == 1
        and not stage.caches_features
        and macs >= _WORTH
    )


def _compiled(training: Training, source: Source) -> nn.Module:
    """The stage's network, compiled for its batches on its way there and back; what it learned stays as it was."""
    compiled = torch.compile(training.net, dynamic=False, backend=_BACKEND)
    before = [buffer.clone() for buffer in training.net.buffers()]
    inputs = _example(training, source)
    try:
        with training.autocast():
            logits = compiled(inputs)
    finally:  # at once, since the run may be saved at any time: BatchNorm has noted the example
        for buffer, value in zip(training.net.buffers(), before, strict=True):
            buffer.data.copy_(value)
    logits.float().sum().backward()
    training.optimizer.zero_grad(set_to_none=True)
    wait_for(training.device)
    return compiled  # type: ignore[return-value]


def _example(training: Training, source: Source) -> Tensor:
    """A batch as the loop makes them."""
    indices = torch.arange(training.stage.batch_size, device=training.device)
    inputs, _ = source.training_batch(
        indices, training.position.epoch, training.generator("example"), slice(0, len(indices))
    )
    return inputs
