"""Corruptions of images at five strengths each, the same for the same seed on every device.

They are chosen in the spirit of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations" (2019), but their code and strengths are this project's own: results are not those of CIFAR-100-C.
"""

import io
import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

CORRUPTIONS = MappingProxyType(
    {
        "noise": (0.02, 0.04, 0.07, 0.10, 0.15),
        "blur": (0.5, 0.75, 1.0, 1.4, 2.0),
        "contrast": (0.3, 0.1, 0.05, 0.02, 0.01),
        "brightness": (0.2, 0.4, 0.6, 0.7, 0.8),
        "jpeg": (95, 80, 50, 25, 10),
    }
)
"""Strengths of each corruption, the weakest first, from nearly harmless to hard for the shipped model on val.

noise: standard deviation, for pixels between 0 and 1; blur: standard deviation in pixels; contrast: factor of each
pixel's distance from the image's mean; brightness: added to pixels between 0 and 1; jpeg: quality.
"""


def corrupt(images: Tensor, corruption: str, strength: float, seed: int = 0) -> Tensor:
    """Corrupt a set of images: (N, 3, H, W) uint8 -> the same shape, dtype and device. Only noise needs the seed."""
    return _FUNCTIONS[corruption](images, strength, seed)


def _noise(images: Tensor, strength: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)  # of the CPU, so that every device gets the same noise
    return _pixels(images + torch.randn(images.shape, generator=generator).to(images.device) * (255 * strength))


def _blur(images: Tensor, strength: float, seed: int) -> Tensor:
    radius = math.ceil(3 * strength)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=images.device) / strength) ** 2)
    row = (weights / weights.sum()).view(1, 1, 1, -1)
    padded = F.pad(images.float().flatten(0, 1)[:, None], (radius,) * 4, mode="reflect")
    return _pixels(F.conv2d(F.conv2d(padded, row), row.mT).view(images.shape))


def _contrast(images: Tensor, strength: float, seed: int) -> Tensor:
    mean = images.float().mean((1, 2, 3), keepdim=True)
    return _pixels(mean + (images - mean) * strength)


def _brightness(images: Tensor, strength: float, seed: int) -> Tensor:
    return _pixels(images + 255 * strength)


def _jpeg(images: Tensor, strength: float, seed: int) -> Tensor:
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    compressed = np.stack([_compressed(each, int(strength)) for each in pixels])
    return torch.from_numpy(compressed).permute(0, 3, 1, 2).to(images.device)


def _compressed(pixels: np.ndarray[Any, Any], quality: int) -> np.ndarray[Any, Any]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


_FUNCTIONS: dict[str, Callable[[Tensor, float, int], Tensor]] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "jpeg": _jpeg,
}


def _pixels(values: Tensor) -> Tensor:
    """Round to the 8 bits of an image file."""
    return values.round().clamp(0, 255).to(torch.uint8)
