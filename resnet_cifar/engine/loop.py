"""The training loop: a generator of events that touches no file, clock or screen.

Its consumer may stop at any event. While the loop is paused at a yield the model does not change, and `training` says
exactly what is left to do, so it can be saved there.
"""

import math
from collections.abc import Callable, Generator, Iterator

import torch
from torch import Tensor

from resnet_cifar.data.batches import Features, Images, Source
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Dataset, Split
from resnet_cifar.engine.compile import compile_where_it_pays
from resnet_cifar.engine.evaluate import measure, predict
from resnet_cifar.engine.features import compute_features
from resnet_cifar.engine.metrics import Tally
from resnet_cifar.engine.optimizer import scale_learning_rates
from resnet_cifar.engine.state import Best, Training
from resnet_cifar.engine.step import Batch, train_step
from resnet_cifar.errors import Diverged
from resnet_cifar.events import BatchSplit, EpochEnded, Event, Metrics, Progress, StageEnded, StageStarted, StepLogged
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.recipe.schedule import learning_rate_factor, steps_per_epoch


def train(training: Training, dataset: Dataset, normalization: Normalization) -> Iterator[Event]:
    """Run what is left of every stage. Raises Diverged if the loss is no longer finite."""
    while not training.done:
        yield from _run_stage(training, dataset, normalization)


def _run_stage(training: Training, dataset: Dataset, normalization: Normalization) -> Iterator[Event]:
    stage, index = training.stage, training.position.stage
    if not training.position.announced:
        training.position.announced = True  # before the yield: a run that is saved there does not announce it twice
        yield StageStarted(
            stage=index,
            name=stage.name,
            epochs=stage.epochs,
            steps=_steps(training, len(dataset.train)),
            images=len(dataset.train),
            trainable=stage.trainable,
            image_sizes=stage.image_sizes,
            batch_size=stage.batch_size,
        )
    while not _stage_over(training):
        yield from _run_epochs_of_one_size(training, dataset, normalization)
    ended = StageEnded(stage=index, name=stage.name, epochs=training.position.epoch, best_top1=training.stage_best)
    training.enter(index + 1)  # before the yield, too: the next stage's state is what a save then holds
    yield ended


def _run_epochs_of_one_size(training: Training, dataset: Dataset, normalization: Normalization) -> Iterator[Event]:
    """Run the epochs up to the next change of the stage's image size."""
    size = training.settings.image_size
    preprocess = Preprocess(size, normalization, training.device)
    training.begin_image_size()
    source = yield from source_of(training, dataset.train, preprocess, learning=True)
    val = yield from source_of(training, dataset.val, preprocess, learning=False)
    yield from compile_where_it_pays(training, source)  # for each size, because a compiled network is made for one
    while not _stage_over(training) and training.settings.image_size == size:
        yield from _train_epoch(training, source)
        yield (yield from _end_epoch(training, source, val))  # the progress of evaluating, then the epoch's event


def _stage_over(training: Training) -> bool:
    """Whether the stage has run its epochs, or has gone `patience` epochs without a better val top-1."""
    gave_up = 0 < training.stage.patience <= training.stale_epochs
    return training.position.epoch == training.stage.epochs or gave_up


def source_of(
    training: Training, split: Split, preprocess: Preprocess, learning: bool
) -> Generator[Progress, None, Source]:
    """Build the source of a split's batches: images, or cached features."""
    stage = training.stage
    if not stage.caches_features:
        return Images(split, preprocess, training.model.stem, *(_augmented(training, split) if learning else ()))
    if not len(split):  # a run without val images
        return Features(torch.empty(1, 0, 0), split)
    generator = training.generator("features", learning)
    # The layers below the head are frozen, so an image's features never change; what varies is drawn once, as views.
    policy, views = (stage.augmentation, stage.views) if learning else (AUGMENTATIONS["none"], 1)
    return (
        yield from compute_features(
            training.model, split, preprocess, policy, views, generator, training.autocast, training.world
        )
    )


def _augmented(training: Training, split: Split) -> tuple[Callable[[int], Augmentation], Tensor]:
    """Augmentation by epoch, and (N,) bool: the images that an alternating flip mirrors in even epochs."""
    # Without an epoch in its name the generator draws the same in every epoch, and after resuming.
    draws = torch.rand(len(split), device=training.device, generator=training.generator("flip"))
    return lambda epoch: training.stage.at(epoch).augmentation, draws < 0.5


def _train_epoch(training: Training, source: Source) -> Iterator[Event]:
    """Take the steps of an epoch, from the saved position on."""
    position, count = training.position, len(source.labels)
    steps = _steps(training, count)
    order = shuffled(training, count)
    while position.step < steps:
        lr = _set_learning_rates(training, position.epoch * steps + position.step, steps)
        micro_batches = training.micro_batches  # it grows in a step that ran out of memory
        take_step(training, source, order)
        if training.micro_batches != micro_batches:
            yield _batch_split(training)
        if position.step % training.recipe.log_every == 0 or position.step == steps:
            yield _report(training, lr)
        yield Progress(phase="train", done=position.step, total=steps)


def shuffled(training: Training, count: int) -> Tensor:
    """Return the order in which the current epoch uses `count` images: (count,) indices."""
    # Drawn from the seed and the epoch alone: a run resumed in the middle of an epoch needs no saved order.
    generator = training.generator("order", training.position.epoch)
    return torch.randperm(count, device=training.device, generator=generator)


def take_step(training: Training, source: Source, order: Tensor) -> None:
    """Take the next step of the epoch with the optimizer's current learning rates, and add it to the tally."""
    position, size, count = training.position, training.stage.batch_size, len(order)
    start = position.step * size
    # A rest too small for a batch of its own belongs to the last one: BatchNorm needs images enough to average over.
    stop = count if position.step == _steps(training, count) - 1 else start + size
    generator = training.generator("step", position.epoch, position.step)
    # All processes draw the same augmentation for the whole batch, and each keeps its own part of it.
    shard = training.world.shard(stop - start)
    inputs, targets = source.training_batch(order[start:stop], position.epoch, generator, shard)
    training.tally.add(train_step(training, Batch(inputs, targets, stop - start)), stop - start)
    position.step += 1


def _batch_split(training: Training) -> BatchSplit:
    position = training.position
    return BatchSplit(
        stage=position.stage, epoch=position.epoch, step=position.step - 1, micro_batches=training.micro_batches
    )


def _report(training: Training, lr: float) -> StepLogged:
    """Wait for the device and report the steps since the last report."""
    position, tally = training.position, training.tally
    training.settle()  # the device may be many steps behind; it is waited for here, not in each step
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
        # of the last step, computed again: a run resumed at the end of an epoch has taken none
        lr=training.stage.lr * learning_rate_factor(training.stage, (position.epoch + 1) * steps - 1, steps),
        train_loss=tally.loss / tally.images,
        train_top1=tally.hits / tally.images,
        val=raw,
        ema_val=averaged,
        image_size=training.settings.image_size,
        best=best,
    )
    training.tally = Tally()
    position.epoch, position.step = position.epoch + 1, 0
    return ended


def _validate(training: Training, val: Source) -> Generator[Progress, None, tuple[Metrics | None, Metrics | None]]:
    """Val metrics of the weights and of their EMA; None for what does not exist."""
    training.share_statistics()  # each process has BatchNorm statistics of its own images
    if not len(val.labels):
        return None, None
    raw = measure((yield from predict(training.net, val, training.autocast, training.world)), val.labels)
    if not math.isfinite(raw.loss):  # the averaged statistics can fail where those of a batch do not
        raise Diverged(
            f"the val loss became {raw.loss} in stage {training.stage.name!r}, epoch {training.position.epoch + 1}; "
            "try a new run with a lower --lr, or with --precision fp32."
        )
    if training.ema is None:
        return raw, None
    averaged = yield from predict(training.ema.module, val, training.autocast, training.world)
    return raw, measure(averaged, val.labels)


def _keep_if_best(training: Training, raw: Metrics | None, averaged: Metrics | None) -> bool:
    """Keep the weights, or their EMA, if their val top-1 is the best so far. Without val, keep the newest."""
    size = training.settings.image_size
    if raw is None:
        training.best = Best(None, size, training.weights(averaged=True))
        return True
    use_average = averaged is not None and averaged.top1 >= raw.top1  # on a tie the smoother weights
    top1 = averaged.top1 if averaged is not None and use_average else raw.top1
    # Two bests: the stage's decides when its patience is over, the run's which weights are kept.
    if training.stage_best is None or top1 > training.stage_best:
        training.stage_best, training.stale_epochs = top1, 0
    else:
        training.stale_epochs += 1
    if training.best is not None and training.best.top1 is not None and top1 <= training.best.top1:
        return False
    training.best = Best(top1, size, training.weights(averaged=use_average))
    return True


def _steps(training: Training, images: int) -> int:
    return steps_per_epoch(images, training.stage.batch_size, training.world.size)


def _set_learning_rates(training: Training, step: int, steps: int) -> float:
    """Set each parameter group's learning rate for a step of the stage; returns the head's."""
    part = learning_rate_factor(training.stage, step, steps)
    scale_learning_rates(training.optimizer, part)
    return training.stage.lr * part
