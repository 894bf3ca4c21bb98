"""Knowledge distillation: the probabilities of an earlier network as part of the targets."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_cifar.errors import UserError
from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.system.device import Autocast


class Teacher:
    """A trained network that sees exactly the same batches as the student (Beyer et al. 2022, section 3).

    Its probabilities are used at temperature 1, as between networks of equal size (Furlanello et al. 2018, section 3).
    """

    def __init__(self, net: nn.Module, weight: float, autocast: Autocast) -> None:
        """`net` must be in evaluation mode. `weight` of its probabilities in the targets: 0 to 1."""
        self._net = net
        self._weight = weight
        self._autocast = autocast

    @torch.no_grad()
    def targets(self, inputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Average the targets of a batch with the network's probabilities, by weight.

        inputs: (B, 3, H, W); targets: (B,) labels or (B, classes) probabilities; smoothing: label smoothing, which
        is not applied to the network's part. Returns (B, classes) probabilities.
        """
        with self._autocast():
            probabilities = self._net(inputs).float().softmax(1)
        classes = probabilities.shape[1]
        labels = F.one_hot(targets, classes).float() if targets.ndim == 1 else targets
        smooth = torch.lerp(labels, torch.full_like(labels, 1 / classes), smoothing)
        return torch.lerp(smooth, probabilities, self._weight)


def read_teacher(
    recipe: Recipe, device: torch.device, normalization: Normalization, autocast: Autocast
) -> Teacher | None:
    """Load a recipe's teacher. Raises UserError if its classes, normalization or image size differ from the run's."""
    if recipe.teacher is None:
        return None
    net, config = load_checkpoint(Path(recipe.teacher), device)
    if config.labels != recipe.dataset.labels:
        raise UserError(
            f"the teacher {recipe.teacher} has other classes ({config.labels[0]}, ...; {len(config.labels)} in all) "
            f"than {recipe.data}; choose one that was trained on {recipe.data}."
        )
    if config.normalization != normalization:
        raise UserError(
            f"the teacher {recipe.teacher} was trained with {config.normalization}, and this run uses "
            f"{normalization}; choose one that started from the same kind of weights, ImageNet or random."
        )
    sizes = {size for stage in recipe.stages if not stage.caches_features for size in stage.image_sizes}
    if other := sizes - {config.image_size}:
        raise UserError(
            f"the teacher {recipe.teacher} was trained at {config.image_size} px, and this run also trains at "
            f"{other.pop()} px; add --image-size {config.image_size}, or choose another teacher."
        )
    return Teacher(net, recipe.distillation_weight, autocast)
