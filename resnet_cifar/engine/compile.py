"""torch.compile, for stages long enough that faster steps make up for the compilation."""

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

# Multiply-accumulates of a stage's epochs at one image size. If compiled steps are a tenth faster, at 250 TFLOP/s this
# many save 8 s, which is what compiling takes with a warm cache. Slower GPUs train longer and save the minute of a
# cold cache too.
_WORTH = 1e16
_BACKEND = "inductor"
_LONGEST_REASON = 500  # characters


def compile_where_it_pays(training: Training, source: Source) -> Iterator[Progress]:
    """Compile the network for the stage's full batches, where that saves time. If it fails, warn and go on without."""
    if not _pays(training) or len(source.labels) < training.stage.batch_size:
        return
    try:
        # Compiling runs the network once, which moves its BatchNorm statistics; a save meanwhile must not see that.
        training.buffers_before_compiling = {name: buffer.clone() for name, buffer in training.model.named_buffers()}
        training.compiled = yield from in_background(
            lambda: _compiled(training, source), lambda: Progress(phase="compile", done=0, total=1)
        )
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
        warnings.warn(f"torch.compile failed, so training goes on without it: {reason}", stacklevel=2)
    training.buffers_before_compiling = {}
    release_memory(training.device)


def _pays(training: Training) -> bool:
    """Whether compiling saves time: never on a CPU; not done with several processes or with micro-batches."""
    stage, size = training.stage, training.settings.image_size
    macs = sum(cost.stage_macs(training.recipe, part) for part in stage.parts() if part.image_size == size)
    return (
        training.device.type == "cuda"
        and training.world.size == training.micro_batches == 1
        and not stage.caches_features
        and macs >= _WORTH
    )


def _compiled(training: Training, source: Source) -> nn.Module:
    """Compile the stage's network, forward and backward, for its batches. Weights and statistics end as they began."""
    compiled = torch.compile(training.net, dynamic=False, backend=_BACKEND)
    inputs = _example(training, source)
    try:
        with training.autocast():
            logits = compiled(inputs)
    finally:
        for name, buffer in training.model.named_buffers():
            buffer.data.copy_(training.buffers_before_compiling[name])
    logits.float().sum().backward()
    training.optimizer.zero_grad(set_to_none=True)
    wait_for(training.device)
    return compiled  # type: ignore[return-value]


def _example(training: Training, source: Source) -> Tensor:
    """A batch such as the loop makes."""
    indices = torch.arange(training.stage.batch_size, device=training.device)
    inputs, _ = source.training_batch(
        indices, training.position.epoch, training.generator("example"), slice(0, len(indices))
    )
    return inputs
