"""TrivialAugment (Mueller and Hutter 2021) for a whole batch at once: one random change of each image.

The changes and their strengths are those of the paper's wide space, but for shifts: 10 pixels of 32 are the most, as in
its narrow one. Strengths are drawn anywhere in their range, and not from 31 levels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GREY = (129, 124, 112)
"""CIFAR-100's mean colour: what is blanked with it becomes about 0 once normalised."""
KINDS = (
    "identity",
    "shear x",
    "shear y",
    "shift x",
    "shift y",
    "rotate",
    "brightness",
    "colour",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)
_SHEAR = 0.99
_SHIFT = 10 / 32  # of a side
_TURN = math.radians(135)
_BLEND = 0.99
_BITS = 6  # of 8, that are dropped at most


def change_trivially(images: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 3, S, S) uint8 -> the same shape, each image changed in a way and to a degree of its own."""
    batch, device = len(images), images.device
    kind = torch.randint(len(KINDS), (batch,), device=device, generator=generator)
    return change(images, kind, torch.rand(batch, device=device, generator=generator) * 2 - 1)


def change(images: Tensor, kind: Tensor, strength: Tensor) -> Tensor:
    """(B, 3, S, S) uint8, (B,) places in `KINDS`, (B,) from -1 to 1 -> images of the same shape."""
    chosen = {name: (kind == number)[:, None, None, None] for number, name in enumerate(KINDS)}
    pixels = _move(images.float(), chosen, strength)
    strength = strength[:, None, None, None]
    pixels = _blend(pixels, chosen, strength)
    step = torch.where(chosen["posterize"], 2 ** (_BITS * strength.abs()).round(), 1)
    pixels = (pixels / step).floor() * step
    bright = chosen["solarize"] & (pixels >= 255 * (1 - strength.abs()))
    pixels = torch.where(bright, 255 - pixels, pixels)
    pixels = torch.where(chosen["autocontrast"], _stretched(pixels), pixels)
    return torch.where(chosen["equalize"], _equalized(pixels), pixels).to(torch.uint8)


def _move(pixels: Tensor, chosen: dict[str, Tensor], strength: Tensor) -> Tensor:
    """Shear, shift and turn; what comes in is grey."""

    def of(name: str, most: float) -> Tensor:
        return most * strength * chosen[name][:, 0, 0, 0]

    angle = of("rotate", _TURN)
    across = (angle.cos(), of("shear x", _SHEAR) + angle.sin(), of("shift x", 2 * _SHIFT))  # a side is 2 long
    down = (of("shear y", _SHEAR) - angle.sin(), angle.cos(), of("shift y", 2 * _SHIFT))
    theta = torch.stack((torch.stack(across, 1), torch.stack(down, 1)), 1)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    grey = torch.stack([torch.full_like(pixels[0, 0], level) for level in GREY])
    return (F.grid_sample(pixels - grey, grid, align_corners=False) + grey).round()


def _blend(pixels: Tensor, chosen: dict[str, Tensor], strength: Tensor) -> Tensor:
    """Nearer to, or further from, black, its own grey, its mean grey, or itself blurred."""
    red, green, blue = pixels.unbind(1)
    luma = (0.2989 * red + 0.587 * green + 0.114 * blue).floor()[:, None]  # ITU-R 601
    other = torch.where(chosen["colour"], luma, _blurred(pixels))
    other = torch.where(chosen["contrast"], luma.mean((2, 3), keepdim=True), other)
    other = torch.where(chosen["brightness"], 0, other)
    blends = chosen["brightness"] | chosen["colour"] | chosen["contrast"] | chosen["sharpness"]
    return torch.lerp(other, pixels, 1 + _BLEND * strength * blends).clamp(0, 255).floor()


def _blurred(pixels: Tensor) -> Tensor:
    """Each pixel, but those at the edge, the mean of itself, counted five times, and its eight neighbours."""
    blurred = pixels.clone()
    inner = blurred[:, :, 1:-1, 1:-1]
    inner.copy_(((9 * F.avg_pool2d(pixels, 3, 1) + 4 * inner) / 13).round())
    return blurred


def _stretched(pixels: Tensor) -> Tensor:
    """From 0 to 255 in each channel that is not flat."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    return torch.where(high > low, (pixels - low) * (255 / (high - low).clamp(min=1)), pixels).floor()


def _equalized(pixels: Tensor) -> Tensor:
    """About as many pixels at every level of a channel, as PIL does it."""
    levels = pixels.flatten(2).flatten(0, 1).long()
    counts = torch.zeros(len(levels), 256, dtype=torch.int64, device=pixels.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    of_brightest = counts.gather(1, levels.amax(1, keepdim=True))
    step = (levels.shape[1] - of_brightest) // 255
    table = ((counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step > 0, table.gather(1, levels), levels).view(pixels.shape).to(pixels.dtype)
