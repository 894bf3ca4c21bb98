"""From logits to probabilities that can be believed."""

from dataclasses import dataclass

from torch import Tensor

from resnet_cifar.recipe.limits import check_range


@dataclass(frozen=True)
class Calibration:
    """Stretches the surprise -log p of each class to (-log p) ** power / temperature, and normalizes again.

    It keeps the order of the classes. With a power of 1 it is temperature scaling (Guo et al. 2017). A model that was
    trained on soft targets needs a power above 1: it never learned to be as sure as it is right, and is too sure of the
    rest.
    """

    temperature: float = 1.0
    power: float = 1.0

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, 1e-3, 1e3)
        check_range("power", self.power, 1e-3, 1e3)

    def __call__(self, logits: Tensor) -> Tensor:
        """Return calibrated logits, of which softmax makes probabilities; of the shape (B, classes), as `logits`."""
        return -((-logits.log_softmax(1)) ** self.power) / self.temperature


IDENTITY = Calibration()
