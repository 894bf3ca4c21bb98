"""Distillation: what an earlier network makes of a batch becomes a part of what is learned from it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_cifar.device import Autocast


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
        """(B, 3, H, W) pictures with their labels (B,) or shares (B, classes) -> shares (B, classes) to learn.

        `smoothing`: of the labels; the probabilities are smooth already.
        """
        with self._autocast():
            probabilities = self._net(inputs).float().softmax(1)
        classes = probabilities.shape[1]
        shares = F.one_hot(targets, classes).float() if targets.ndim == 1 else targets
        smooth = torch.lerp(shares, torch.full_like(shares, 1 / classes), smoothing)
        return torch.lerp(smooth, probabilities, self._share)
