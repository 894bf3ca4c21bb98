"""Evaluation of a model on a split; every mean is over images, not over batches."""

import dataclasses
import math
from collections.abc import Generator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_cifar.data.batches import Images, Source
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.engine.calibration import reliability
from resnet_cifar.events import Metrics, Progress
from resnet_cifar.model.calibration import IDENTITY, Calibration
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.datasets import DatasetSpec
from resnet_cifar.system.device import Autocast, Lead
from resnet_cifar.system.distributed import ALONE, World


def predict(
    net: nn.Module, source: Source, autocast: Autocast, world: World = ALONE, phase: str = "evaluate"
) -> Generator[Progress, None, Tensor]:
    """Compute (N, classes) float32 logits of a whole source, in its order. Leaves `net` in the mode it was in."""
    total = len(source.labels)
    was_training = net.training
    logits, lead = torch.zeros(total, source.classes, device=source.labels.device), Lead(source.labels.device)
    for batch, done in world.batches(total, source.evaluation_batch):
        net.eval()
        if batch.start < batch.stop:
            with torch.no_grad(), autocast():
                logits[batch] = net(source.inputs(batch.start, batch.stop)).float()
        net.train(was_training)  # before the yield: the consumer may stop here
        lead.keep()
        yield Progress(phase=phase, done=done, total=total)
    return world.all_reduce(logits)


def measure(logits: Tensor, labels: Tensor) -> Metrics:
    """Compute loss, top-1 and top-5 of (N, classes) logits. One wait for the device."""
    loss = F.cross_entropy(logits, labels)
    first = logits.argmax(1) == labels  # as for superclasses and classes: topk breaks ties differently
    top5 = (first | (logits.topk(min(5, logits.shape[1])).indices == labels[:, None]).any(1)).double().mean()
    top1 = first.double().mean()
    loss_value, top1_value, top5_value = torch.stack((loss.double(), top1, top5)).tolist()
    return Metrics(loss=loss_value, top1=top1_value, top5=top5_value)


def test(
    model: ResNet,
    split: Split,
    preprocess: Preprocess,
    autocast: Autocast,
    world: World = ALONE,
    mirrored: bool = False,
    calibration: Calibration = IDENTITY,
) -> Generator[Progress, None, dict[str, Any]]:
    """Evaluate a model on a split and return the fields of `eval.json`.

    mirrored: test-time augmentation, the mean of the probabilities of each image and its mirror image. calibration:
    of the confidences whose calibration error is reported; the loss is that of the logits themselves.
    """
    logits = yield from predict(model, Images(split, preprocess, model.stem), autocast, world, "test")
    if mirrored:
        other = Images(dataclasses.replace(split, images=split.images.flip(-1)), preprocess, model.stem)
        seen = torch.stack((logits, (yield from predict(model, other, autocast, world, "test"))))
        logits = seen.log_softmax(-1).logsumexp(0) - math.log(len(seen))
    return summarise(logits, split.labels, split.spec, calibration)


def summarise(logits: Tensor, labels: Tensor, spec: DatasetSpec, calibration: Calibration = IDENTITY) -> dict[str, Any]:
    """Metrics, superclass top-1, calibration error, and top-1 of each class by name, as JSON values."""
    return {
        "images": len(labels),
        **dataclasses.asdict(measure(logits, labels)),
        "coarse_top1": coarse_top1(logits, labels, spec),
        "ece": reliability(logits, labels, calibration).ece,
        "per_class_top1": dict(zip(spec.labels, per_class_top1(logits, labels), strict=True)),
    }


def coarse_top1(logits: Tensor, labels: Tensor, spec: DatasetSpec) -> float | None:
    """Fraction whose most likely class is in the right superclass; None for a data set without superclasses."""
    if not spec.superclass_of:
        return None
    coarse = torch.tensor(spec.superclass_of, device=logits.device)
    return (coarse[logits.argmax(1)] == coarse[labels]).double().mean().item()


def per_class_top1(logits: Tensor, labels: Tensor) -> list[float]:
    """Top-1 on the images of each class, in label order."""
    hits = (logits.argmax(1) == labels).double()
    # Hits and images of each class; bincount would wait for the device.
    sums = torch.zeros(logits.shape[1], 2, dtype=torch.double, device=logits.device)
    sums.index_add_(0, labels, torch.stack((hits, torch.ones_like(hits)), 1))
    return (sums[:, 0] / sums[:, 1].clamp(min=1)).tolist()
