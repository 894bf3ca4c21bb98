"""Calibration: how far confidences can be believed, and the two numbers that make them believable.

A model is calibrated if it is right on 80 % of the images that it classifies with a confidence of 80 % (Guo et al.
2017, "On Calibration of Modern Neural Networks").
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.engine.optimizer import eager
from resnet_cifar.model.calibration import IDENTITY, Calibration

BINS = 15
# Beyond, the val images say nothing about confidences: all are right, or all wrong.
_TEMPERATURES = (0.05, 20.0)
_POWERS = (0.25, 4.0)
_SURE = 1e-9  # smallest -log p of a fit: the derivative of its power needs its logarithm


@dataclass(frozen=True)
class Reliability:
    """Images in bins of equal width by their confidence, and how often the model is right in each."""

    images: tuple[int, ...]
    confidence: tuple[float, ...]
    """Mean confidence of the images in each bin; 0 in an empty one."""
    accuracy: tuple[float, ...]
    """Top-1 of the images in each bin; 0 in an empty one."""

    @property
    def ece(self) -> float:
        """Expected calibration error: mean gap between confidence and accuracy, each bin weighted by its images."""
        gaps = (
            count * abs(confidence - accuracy)
            for count, confidence, accuracy in zip(self.images, self.confidence, self.accuracy, strict=True)
        )
        return sum(gaps) / max(1, sum(self.images))


def reliability(logits: Tensor, labels: Tensor, calibration: Calibration = IDENTITY, bins: int = BINS) -> Reliability:
    """Sort the (N, classes) predictions into bins by confidence, `(low, high]` (Guo et al. 2017, section 2)."""
    confidence, predicted = calibration(logits.double()).softmax(1).max(1)
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    columns = torch.stack((torch.ones_like(confidence), confidence, (predicted == labels).double()), 1)
    sums = torch.zeros(bins, 3, dtype=torch.double, device=logits.device).index_add_(0, place, columns)
    sums[:, 1:] /= sums[:, :1].clamp(min=1)
    images, mean_confidence, accuracy = sums.T.tolist()  # one wait for the device
    return Reliability(tuple(map(int, images)), tuple(mean_confidence), tuple(accuracy))


def fit_calibration(logits: Tensor, labels: Tensor) -> Calibration:
    """Return the calibration that minimizes the loss of (N, classes) logits, by L-BFGS.

    The logits must be of images that the model has not learned from. The identity where there are none, and a
    temperature alone where the images do not determine the power.
    """
    if not len(labels):
        return IDENTITY
    surprise = -logits.detach().double().log_softmax(1).clamp(max=-_SURE)
    (temperature,) = _minimize(surprise, labels, [1.0])
    alone = Calibration(min(max(temperature, _TEMPERATURES[0]), _TEMPERATURES[1]))
    temperature, power = _minimize(surprise, labels, [alone.temperature, 1.0])
    inside = _TEMPERATURES[0] < temperature < _TEMPERATURES[1] and _POWERS[0] < power < _POWERS[1]
    return Calibration(temperature, power) if inside else alone


def _minimize(surprise: Tensor, labels: Tensor, start: list[float]) -> list[float]:
    """Fit the temperature, and the power if `start` has one, from -log p; NaN becomes the start."""
    logarithms = [torch.tensor(math.log(value), dtype=torch.double, device=surprise.device) for value in start]
    for logarithm in logarithms:
        logarithm.requires_grad_()
    optimizer = eager(torch.optim.LBFGS)(logarithms, max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        temperature, *power = [logarithm.exp() for logarithm in logarithms]
        stretched = surprise ** power[0] if power else surprise
        value = F.cross_entropy(-stretched / temperature, labels)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    found = [logarithm.exp().item() for logarithm in logarithms]
    return found if all(map(math.isfinite, found)) else start
