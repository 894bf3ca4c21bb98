"""The training loop: a generator of events that touches no file, no clock and no screen.

Whoever pulls may stop pulling. While the loop is paused at a yield the model holds still and `training` says exactly
what is still to do, so that it may be saved there.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.batches import Features, Pictures, Source, compute_features
from resnet_cifar.compiling import compile_where_it_pays
from resnet_cifar.config import AUGMENTS
from resnet_cifar.data import Dataset, Normalization, Preprocess, Split
from resnet_cifar.device import is_out_of_memory, release_memory
from resnet_cifar.errors import Diverged
from resnet_cifar.evaluate import measure, predict
from resnet_cifar.events import BatchDivided, EpochEnded, Event, Metrics, Progress, StageEnded, StageStarted, StepLogged
from resnet_cifar.parallel import unsynchronised
from resnet_cifar.schedule import schedule, steps_per_epoch
from resnet_cifar.tally import Tally
from resnet_cifar.training import Best, Training


def train(training: Training, dataset: Dataset, normalization: Normalization) -> Iterator[Event]:
    """Run what is left of every stage. Raises Diverged where the loss stops being finite."""
    while not training.done:
        yield from _run_stage(training, dataset, normalization)


def _run_stage(training: Training, dataset: Dataset, normalization: Normalization) -> Iterator[Event]:
    stage, index = training.stage, training.position.stage
    preprocess = Preprocess(stage.image_size, normalization, training.device)
    if not training.position.announced:
        training.position.announced = True
        yield StageStarted(
            stage=index,
            name=stage.name,
            epochs=stage.epochs,
            steps=_steps(training, len(dataset.train)),
            images=len(dataset.train),
            trainable=stage.trainable,
            image_size=stage.image_size,
            batch_size=stage.batch_size,
        )
    source = yield from _source(training, dataset.train, preprocess, learning=True)
    val = yield from _source(training, dataset.val, preprocess, learning=False)
    yield from compile_where_it_pays(training, source)
    while training.position.epoch < stage.epochs and not _gave_up(training):
        yield from _train_epoch(training, source)
        yield (yield from _end_epoch(training, source, val))
    ended = StageEnded(stage=index, name=stage.name, epochs=training.position.epoch, best_top1=training.stage_best)
    training.enter(index + 1)
    yield ended


def _source(
    training: Training, split: Split, preprocess: Preprocess, learning: bool
) -> Generator[Progress, None, Source]:
    """Where the stage's batches of a split come from."""
    stage = training.stage
    if not stage.caches_features:
        augmented = (stage.augment_in,) if learning else ()
        return Pictures(split, preprocess, training.model.stem, *augmented)
    if not len(split):
        return Features(torch.empty(1, 0, 0), split.labels)
    generator = training.generator("features", learning)
    policy, views = (stage.augment, stage.views) if learning else (AUGMENTS["none"], 1)
    return (
        yield from compute_features(
            training.model, split, preprocess, policy, views, generator, training.autocast, training.world
        )
    )


def _train_epoch(training: Training, source: Source) -> Iterator[Event]:
    """Take the epoch's steps from the position on."""
    stage, position, count = training.stage, training.position, len(source.labels)
    steps = _steps(training, count)
    generator = training.generator("order", position.epoch)
    order = torch.randperm(count, device=training.device, generator=generator)
    while position.step < steps:
        start = position.step * stage.batch_size
        stop = count if position.step == steps - 1 else start + stage.batch_size
        lr = _set_learning_rates(training, position.epoch * steps + position.step, steps)
        generator = training.generator("step", position.epoch, position.step)
        part = training.world.part(stop - start)
        inputs, targets = source.training_batch(order[start:stop], position.epoch, generator, part)
        result = _gradients_if_memory_lasts(training, inputs, targets, stop - start)
        if result is None:
            pieces = training.pieces
            yield BatchDivided(stage=position.stage, epoch=position.epoch, step=position.step, pieces=pieces)
            result = _gradients(training, inputs, targets, stop - start)
        _update(training)
        training.tally.add(result, stop - start)
        position.step += 1
        if position.step % training.recipe.log_every == 0 or position.step == steps:
            yield _report(training, lr)
        yield Progress(phase="train", done=position.step, total=steps)


def _update(training: Training) -> None:
    training.optimizer.step()
    training.update_average()


def _gradients(training: Training, inputs: Tensor, targets: Tensor, images: int) -> Tensor:
    """Go through this process's part of a batch of `images`, forward and back.

    (2,): what this part adds to the batch's mean loss and to its hits (of the larger share, where mixed).
    """
    pieces = max(1, min(training.pieces, len(inputs) // 2))  # BatchNorm can make nothing of a single picture
    rows = []
    training.optimizer.zero_grad(set_to_none=True)
    for number, (some, their) in enumerate(zip(inputs.chunk(pieces), targets.chunk(pieces), strict=True), start=1):
        with nullcontext() if number == pieces else unsynchronised(training.shared_net):
            rows.append(_go_through(training, some, their, images))
    return torch.stack(rows).sum(0)


def _go_through(training: Training, inputs: Tensor, targets: Tensor, images: int) -> Tensor:
    """Add to the gradients what some pictures of a batch of `images` have to say; (2,) as in `_gradients`."""
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


def _gradients_if_memory_lasts(training: Training, inputs: Tensor, targets: Tensor, images: int) -> Tensor | None:
    """The same; or None where memory ran out for the first time, and the batch is to be gone through in more pieces.

    Nothing is left of the try but what BatchNorm layers have noted of the batch. Processes that train together can't do
    so: one would wait for the other.
    """
    try:
        return _gradients(training, inputs, targets, images)
    except RuntimeError as error:
        # cuDNN looks for a way to compute that fits, and says that it found none.
        no_memory = is_out_of_memory(error) or "unable to find an engine" in str(error).lower()
        if not no_memory or training.pieces > 1 or training.world.size > 1 or len(inputs) < 4:
            raise
    # Only here, where the error is gone, is what it held free.
    training.optimizer.zero_grad(set_to_none=True)
    training.pieces = 2
    release_memory(training.device)
    return None


def _report(training: Training, lr: float) -> StepLogged:
    """Wait for the device and say how the steps since the last report went."""
    position, tally = training.position, training.tally
    training.settle()
    loss = tally.close_window()
    return StepLogged(
        stage=position.stage, epoch=position.epoch, step=position.step - 1, loss=loss, lr=lr, images=tally.images
    )


def _end_epoch(training: Training, source: Source, val: Source) -> Generator[Progress, None, EpochEnded]:
    """Evaluate, keep the weights if they are the best so far, and move on to the next epoch."""
    position, tally = training.position, training.tally
    raw, averaged = yield from _validate(training, val)
    best = _keep_if_best(training, raw, averaged)
    steps = _steps(training, len(source.labels))
    ended = EpochEnded(
        stage=position.stage,
        epoch=position.epoch,
        lr=training.stage.lr * schedule(training.stage, (position.epoch + 1) * steps - 1, steps),
        train_loss=tally.loss / tally.images,
        train_top1=tally.hits / tally.images,
        val=raw,
        averaged_val=averaged,
        best=best,
    )
    training.tally = Tally()
    position.epoch, position.step = position.epoch + 1, 0
    return ended


def _validate(training: Training, val: Source) -> Generator[Progress, None, tuple[Metrics | None, Metrics | None]]:
    """Val metrics of the weights and of their average, as far as there are any."""
    training.share_statistics()
    if not len(val.labels):
        return None, None
    raw = measure((yield from predict(training.net, val, training.autocast, training.world)), val.labels)
    if not math.isfinite(raw.loss):
        raise Diverged(
            f"the val loss became {raw.loss} in stage {training.stage.name!r}, epoch {training.position.epoch + 1}; "
            "try a new run with a lower --lr, or with --precision fp32."
        )
    if training.averaged is None:
        return raw, None
    averaged = yield from predict(training.averaged.module, val, training.autocast, training.world)
    return raw, measure(averaged, val.labels)


def _keep_if_best(training: Training, raw: Metrics | None, averaged: Metrics | None) -> bool:
    """Without val, the newest weights are the ones to keep, and their average where there is one."""
    size = training.stage.image_size
    if raw is None:
        training.best = Best(None, size, training.weights(averaged=True))
        return True
    use_average = averaged is not None and averaged.top1 >= raw.top1
    top1 = averaged.top1 if averaged is not None and use_average else raw.top1
    if training.stage_best is None or top1 > training.stage_best:
        training.stage_best, training.stale_epochs = top1, 0
    else:
        training.stale_epochs += 1
    if training.best is not None and training.best.top1 is not None and top1 <= training.best.top1:
        return False
    training.best = Best(top1, size, training.weights(averaged=use_average))
    return True


def _gave_up(training: Training) -> bool:
    return 0 < training.stage.patience <= training.stale_epochs


def _steps(training: Training, images: int) -> int:
    return steps_per_epoch(images, training.stage.batch_size, training.world.size)


def _set_learning_rates(training: Training, step: int, steps: int) -> float:
    """Give each parameter group its rate for a step of the stage; the head's."""
    part = schedule(training.stage, step, steps)
    for group in training.optimizer.param_groups:
        group["lr"] = group["peak_lr"] * part
    return training.stage.lr * part
