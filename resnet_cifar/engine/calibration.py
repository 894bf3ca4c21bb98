"""Calibration: how far confidences can be believed, and the temperature that makes them believable.

A model is calibrated if it is right on 80 % of the images that it classifies with a confidence of 80 % (Guo et al.
2017, "On Calibration of Modern Neural Networks").
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 15
_TEMPERATURES = (0.05, 20.0)  # beyond, the val images say nothing about confidences: all are right, or all wrong


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


def reliability(logits: Tensor, labels: Tensor, temperature: float = 1.0, bins: int = BINS) -> Reliability:
    """Sort the (N, classes) predictions into bins by confidence, `(low, high]` (Guo et al. 2017, section 2)."""
    confidence, predicted = (logits.double() / temperature).softmax(1).max(1)
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    columns = torch.stack((torch.ones_like(confidence), confidence, (predicted == labels).double()), 1)
    sums = torch.zeros(bins, 3, dtype=torch.double, device=logits.device).index_add_(0, place, columns)
    sums[:, 1:] /= sums[:, :1].clamp(min=1)
    images, mean_confidence, accuracy = sums.T.tolist()  # one wait for the device
    return Reliability(tuple(map(int, images)), tuple(mean_confidence), tuple(accuracy))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature that minimizes the loss of `logits / temperature`, by L-BFGS (Guo et al. 2017, 4.2).

    The (N, classes) logits must be of images that the model has not learned from. 1.0 where there are none.
    """
    if not len(labels):
        return 1.0
    logits = logits.detach().double()
    log_temperature = torch.zeros((), dtype=torch.double, device=logits.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(logits / log_temperature.exp(), labels)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    low, high = _TEMPERATURES
    found = log_temperature.exp().item()
    return min(max(found, low), high) if found == found else 1.0
