"""From uint8 images to the input of a network, the same for train, val, test and prediction."""

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.recipe.datasets import DATASETS, Normalization

SIDE = 32
"""Pixels per side of the images that a classifier receives, as in CIFAR-100."""

CIFAR100 = DATASETS["cifar100"].normalization

IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Preprocess:
    """Normalizes images, then resizes them."""

    def __init__(self, image_size: int, normalization: Normalization, device: torch.device) -> None:
        self.image_size = image_size
        self.normalization = normalization
        self._mean = torch.tensor(normalization.mean, device=device).mul(255)[:, None, None]
        self._scale = torch.tensor(normalization.std, device=device).mul(255).reciprocal()[:, None, None]

    def __call__(self, images: Tensor) -> Tensor:
        """Prepare a batch: (B, 3, H, W) uint8 -> (B, 3, image_size, image_size) float32, channels last.

        Resizing is bilinear, with antialiasing. It comes second: the order does not affect the result, and normalizing
        small images is faster.
        """
        x = (images.float() - self._mean) * self._scale
        if x.shape[-2:] != (self.image_size, self.image_size):
            x = F.interpolate(x, size=(self.image_size,) * 2, mode="bilinear", align_corners=False, antialias=True)
        return x.contiguous(memory_format=torch.channels_last)
