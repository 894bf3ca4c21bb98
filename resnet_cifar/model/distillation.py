"""Distillation: what an earlier network makes of a batch becomes a part of what is learned from it."""

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
    """A trained network that sees just what is learned from, augmented and mixed (Beyer et al. 2022, section 3).

    Its probabilities are taken as they are, at temperature 1, as where a network teaches its like (Furlanello et al.
    2018, section 3).
    """

    def __init__(self, net: nn.Module, share: float, autocast: Autocast) -> None:
        """`share`: how much of the targets its probabilities are. `net` is in evaluation mode already."""
        self._net = net
        self._share = share
        self._autocast = autocast

    @torch.no_grad()
    def targets(self, inputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """(B, 3, H, W) images with their labels (B,) or shares (B, classes) -> shares (B, classes) to learn.

        `smoothing`: of the labels; the probabilities are smooth already.
        """
        with self._autocast():
            probabilities = self._net(inputs).float().softmax(1)
        classes = probabilities.shape[1]
        shares = F.one_hot(targets, classes).float() if targets.ndim == 1 else targets
        smooth = torch.lerp(shares, torch.full_like(shares, 1 / classes), smoothing)
        return torch.lerp(smooth, probabilities, self._share)


def read_teacher(
    recipe: Recipe, device: torch.device, normalization: Normalization, autocast: Autocast
) -> Teacher | None:
    """Who teaches a run whose images are normalised so. Raises UserError where that can't be."""
    if recipe.teacher is None:
        return None
    net, config = load_checkpoint(Path(recipe.teacher), device)
    if config.normalization != normalization:
        raise UserError(
            f"the teacher {recipe.teacher} learned from images normalised with {config.normalization}, and this "
            f"run's are with {normalization}; choose one that started from the same kind of weights."
        )
    sizes = {size for stage in recipe.stages if not stage.caches_features for size in stage.image_sizes}
    if other := sizes - {config.image_size}:
        raise UserError(
            f"the teacher {recipe.teacher} knows images of {config.image_size} px, and this run has some of "
            f"{other.pop()} px; add --image-size {config.image_size}, or choose another."
        )
    return Teacher(net, recipe.distillation_weight, autocast)
