"""Likely label errors: images whose label the model, which never learned from them, has reason to doubt.

Source: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70 (2021).
What people said of CIFAR-100's test images comes from Northcutt, Athalye and Mueller (2021), see `raters/SOURCES.md`.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from resnet_cifar.inspection.predictions import Predictions
from resnet_cifar.recipe.datasets import DATASETS

_RATERS = Path(__file__).with_name("raters") / "cifar100_test.csv"
_MAJORITY = 3  # of five raters


@dataclass(frozen=True)
class Verdict:
    """What five people saw in an image: counts of votes."""

    guess: int
    """Label that was suggested instead of the given one."""
    given: int
    guessed: int
    neither: int
    both: int

    @property
    def confirmed(self) -> bool:
        """Whether most people saw the given label."""
        return self.given >= _MAJORITY

    @property
    def correction(self) -> int | None:
        """The suggested label, if most people saw it and not the given one."""
        return self.guess if self.guessed >= _MAJORITY else None


@dataclass(frozen=True)
class Corrected:
    """Accuracy on the test images whose label most raters corrected. The official labels stay those of all results."""

    images: int
    official_top1: float
    """Top-1 on these images by the official labels."""
    top1: float
    """Top-1 on these images by the corrected labels."""
    all_top1: float
    """Top-1 on all images, with these corrections."""


def suspects(predictions: Predictions) -> list[int]:
    """Return the rows whose label is likely wrong, the most suspect first.

    The predictions must be of images that the model has not learned from.
    """
    rows = doubted(predictions).nonzero()[:, 0]
    return rows[suspicion(predictions)[rows].argsort(descending=True, stable=True)].tolist()


def doubted(predictions: Predictions) -> Tensor:
    """Find the images off the diagonal of the confident joint, (N,) bool (Northcutt et al. 2021, section 3.1).

    The model is confident of a class if its probability reaches the mean that the images with that label have. An image
    is doubted if the most likely of the classes that the model is confident of is not its label.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    classes = probabilities.shape[1]
    own = probabilities.gather(1, labels[:, None])[:, 0]
    images = torch.bincount(labels, minlength=classes)
    means = torch.zeros(classes).index_add_(0, labels, own) / images  # nan, which nothing reaches, without images
    confident = probabilities.where(probabilities >= means, -1.0)
    highest, likely = confident.max(1)
    return (highest >= 0) & (likely != labels)


def suspicion(predictions: Predictions) -> Tensor:
    """Return how much more likely another class is than the label, (N,) in -1..1: the normalized margin, reversed."""
    own = predictions.probabilities.gather(1, predictions.labels[:, None])
    others = predictions.probabilities.scatter(1, predictions.labels[:, None], -1.0)
    return others.amax(1) - own[:, 0]


def verdicts(predictions: Predictions) -> dict[int, Verdict]:
    """Return the raters' verdicts by row; none unless the predictions are of CIFAR-100's test images."""
    rated = predictions.split == "test" and predictions.spec == DATASETS["cifar100"]
    return _raters() if rated else {}


def verdict(row: int) -> Verdict | None:
    """Return the raters' verdict on one of CIFAR-100's test images; None if nobody was asked about it."""
    return _raters().get(row)


def on_corrected_labels(predictions: Predictions) -> Corrected | None:
    """Return top-1 on the images with a correction that most raters agreed on; None where nobody was asked."""
    found = verdicts(predictions)
    corrections = {row: verdict.correction for row, verdict in found.items() if verdict.correction is not None}
    if not corrections:
        return None
    rows, labels = torch.tensor(list(corrections)), predictions.labels.clone()
    labels[rows] = torch.tensor(list(corrections.values()))
    official, right = predictions.predicted == predictions.labels, predictions.predicted == labels
    means = (hits.double().mean().item() for hits in (official[rows], right[rows], right))
    return Corrected(len(rows), *means)


@cache
def _raters() -> dict[int, Verdict]:
    with _RATERS.open(encoding="utf-8") as file:
        _, *lines = csv.reader(file)
    return {row: Verdict(*votes) for row, *votes in (map(int, line) for line in lines)}
