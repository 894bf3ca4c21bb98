"""Worst mistakes: wrongly classified images, by their loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from resnet_cifar.inspection.predictions import Predictions


@dataclass(frozen=True)
class Mistake:
    """A classified image, usually wrongly."""

    row: int
    loss: float
    """Cross-entropy of its logits, before calibration, as in `eval.json`."""
    predicted: int
    confidence: float
    """Calibrated probability of the predicted class."""
    label: int


def worst(predictions: Predictions, n: int = 50, label: int | None = None) -> list[Mistake]:
    """Return the `n` mistakes with the highest loss, the highest first; `label`: only among images of that class."""
    wrong = predictions.predicted != predictions.labels
    if label is not None:
        wrong &= predictions.labels == label
    found = described(predictions, wrong.nonzero()[:, 0].tolist())
    return sorted(found, key=lambda mistake: -mistake.loss)[:n]


def described(predictions: Predictions, rows: Sequence[int]) -> list[Mistake]:
    """Return what was said of the images in some rows, in the order of the rows."""
    index = torch.tensor(rows, dtype=torch.int64)
    losses = F.cross_entropy(predictions.logits[index], predictions.labels[index], reduction="none")
    predicted = predictions.predicted[index]
    columns = (losses, predicted, predictions.probabilities[index, predicted], predictions.labels[index])
    return [Mistake(*values) for values in zip(rows, *(column.tolist() for column in columns), strict=True)]
