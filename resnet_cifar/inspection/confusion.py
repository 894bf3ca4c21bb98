"""Confusion: which class the model takes for which, and how accurate it is on each."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_cifar.inspection.predictions import Predictions
from resnet_cifar.recipe.datasets import DatasetSpec


@dataclass(frozen=True)
class Pair:
    """Images of one class that were classified as another one."""

    true: int
    predicted: int
    count: int
    share: float
    """`count` as a fraction of the true class's images."""


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy on the images of one class."""

    label: int
    images: int
    top1: float


def confusion(predictions: Predictions) -> Tensor:
    """Count the images of each true class (row) by predicted class (column): (classes, classes) int64."""
    classes = len(predictions.spec.labels)
    cells = predictions.labels * classes + predictions.predicted
    return torch.bincount(cells, minlength=classes**2).view(classes, classes)


def superclass_order(spec: DatasetSpec) -> list[int]:
    """Return the class numbers superclass by superclass; in their own order where there are no superclasses."""
    classes = range(len(spec.labels))
    return sorted(classes, key=lambda label: spec.superclass_of[label]) if spec.superclass_of else list(classes)


def coarse_confusion(counts: Tensor, spec: DatasetSpec) -> Tensor:
    """Sum the counts of classes to those of superclasses: (superclasses, superclasses) int64."""
    of, coarse = torch.tensor(spec.superclass_of, dtype=torch.int64), len(spec.superclasses)
    rows = counts.new_zeros(coarse, counts.shape[1]).index_add_(0, of, counts)
    return counts.new_zeros(coarse, coarse).index_add_(1, of, rows)


def most_confused(counts: Tensor, spec: DatasetSpec, n: int = 20) -> list[Pair]:
    """Return the `n` largest counts of mistakes, the largest first; equal ones in the order of the classes' names."""
    images = counts.sum(1).tolist()
    pairs = [
        Pair(true, predicted, count, count / images[true])
        for true, row in enumerate(counts.tolist())
        for predicted, count in enumerate(row)
        if count and predicted != true
    ]
    return sorted(pairs, key=lambda pair: (-pair.count, spec.labels[pair.true], spec.labels[pair.predicted]))[:n]


def class_accuracies(counts: Tensor) -> list[ClassAccuracy]:
    """Return the accuracy on each class that has images, the highest first."""
    rows = zip(counts.diagonal().tolist(), counts.sum(1).tolist(), strict=True)
    found = [ClassAccuracy(label, images, hits / images) for label, (hits, images) in enumerate(rows) if images]
    return sorted(found, key=lambda entry: -entry.top1)


def rows_of(predictions: Predictions, true: int, predicted: int) -> list[int]:
    """Return the rows of the images behind a cell, the most confident first."""
    rows = ((predictions.labels == true) & (predictions.predicted == predicted)).nonzero()[:, 0]
    order = predictions.probabilities[rows, predicted].argsort(descending=True, stable=True)
    return rows[order].tolist()
