"""A small case that can be counted by hand: six images of four classes in two superclasses."""

import math

import torch

from resnet_cifar.inspection.predictions import Predictions
from resnet_cifar.model.calibration import Calibration
from resnet_cifar.recipe.datasets import DatasetSpec, Normalization

SPEC = DatasetSpec(
    module="none",
    labels=("ant", "bat", "cow", "dog"),
    superclasses=("small", "large"),
    superclass_of=(0, 1, 0, 1),
    train_images=0,
    test_images=6,
    normalization=Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
)
LABELS = (0, 0, 0, 1, 2, 2)
PROBABILITIES = (
    (0.7, 0.1, 0.1, 0.1),  # right
    (0.2, 0.6, 0.1, 0.1),  # an ant taken for a bat
    (0.05, 0.9, 0.025, 0.025),  # and a surer one, the worst of all
    (0.25, 0.35, 0.2, 0.2),  # right, but barely
    (0.1, 0.1, 0.2, 0.6),  # a cow taken for a dog
    (0.1, 0.1, 0.7, 0.1),  # right
)


def case(temperature: float = 1.0) -> Predictions:
    """The case; its probabilities are those at the temperature."""
    logits = torch.tensor([[temperature * math.log(value) for value in row] for row in PROBABILITIES])
    return Predictions("test", logits, torch.tensor(LABELS), SPEC, Calibration(temperature))
