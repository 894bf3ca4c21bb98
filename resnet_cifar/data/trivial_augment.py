"""TrivialAugment (Mueller and Hutter 2021) for a whole batch at once: one random operation on each image.

Operations and strengths are those of the paper's wide search space, except for shifts of at most 10 of 32 pixels, as in
its narrow one. Strengths are uniform in their range instead of being one of 31 levels.

Every operation is computed for the whole batch and changes only the images that drew it: selecting these images would
wait for the device.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GREY = (129, 124, 112)
"""CIFAR-100's mean colour, which is about 0 after normalization."""
OPERATIONS = (
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
_SHIFT = 10 / 32  # of the side
_TURN = math.radians(135)
_BLEND = 0.99
_BITS = 6  # most bits of 8 that are dropped


def trivial_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Apply a random operation with a random strength to each image: (B, 3, S, S) uint8 -> the same."""
    batch, device = len(images), images.device
    operation = torch.randint(len(OPERATIONS), (batch,), device=device, generator=generator)
    return apply_operations(images, operation, torch.rand(batch, device=device, generator=generator) * 2 - 1)


def apply_operations(images: Tensor, operation: Tensor, strength: Tensor) -> Tensor:
    """Apply the given operation to each image: (B, 3, S, S) uint8 -> the same.

    operation: (B,) indices in `OPERATIONS`; strength: (B,) from -1 to 1.
    """
    chosen = {name: (operation == number)[:, None, None, None] for number, name in enumerate(OPERATIONS)}
    pixels = _warp(images.float(), chosen, strength)
    strength = strength[:, None, None, None]
    pixels = _blend(pixels, chosen, strength)
    step = torch.where(chosen["posterize"], 2 ** (_BITS * strength.abs()).round(), 1)
    pixels = (pixels / step).floor() * step
    bright = chosen["solarize"] & (pixels >= 255 * (1 - strength.abs()))
    pixels = torch.where(bright, 255 - pixels, pixels)
    pixels = torch.where(chosen["autocontrast"], _stretched(pixels), pixels)
    return torch.where(chosen["equalize"], _equalized(pixels), pixels).to(torch.uint8)


def _warp(pixels: Tensor, chosen: dict[str, Tensor], strength: Tensor) -> Tensor:
    """Shear, shift and rotate; the background is grey."""

    def amount(name: str, largest: float) -> Tensor:
        """(B,); 0 for images that drew another operation, so all of these fit in one matrix."""
        return largest * strength * chosen[name][:, 0, 0, 0]

    angle = amount("rotate", _TURN)
    # affine_grid measures in units in which the side is 2 long.
    x_row = (angle.cos(), amount("shear x", _SHEAR) + angle.sin(), amount("shift x", 2 * _SHIFT))
    y_row = (amount("shear y", _SHEAR) - angle.sin(), angle.cos(), amount("shift y", 2 * _SHIFT))
    theta = torch.stack((torch.stack(x_row, 1), torch.stack(y_row, 1)), 1)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    grey = torch.stack([torch.full_like(pixels[0, 0], level) for level in GREY])
    # grid_sample pads with 0, which is grey after subtracting it.
    return (F.grid_sample(pixels - grey, grid, align_corners=False) + grey).round()


def _blend(pixels: Tensor, chosen: dict[str, Tensor], strength: Tensor) -> Tensor:
    """Change brightness, colour, contrast or sharpness.

    Each moves an image towards or away from another one: black, its greyscale version, its mean grey, or its blur.
    """
    red, green, blue = pixels.unbind(1)
    luma = (0.2989 * red + 0.587 * green + 0.114 * blue).floor()[:, None]  # ITU-R 601
    other = torch.where(chosen["colour"], luma, _blurred(pixels))
    other = torch.where(chosen["contrast"], luma.mean((2, 3), keepdim=True), other)
    other = torch.where(chosen["brightness"], 0, other)
    blends = chosen["brightness"] | chosen["colour"] | chosen["contrast"] | chosen["sharpness"]
    return torch.lerp(other, pixels, 1 + _BLEND * strength * blends).clamp(0, 255).floor()


def _blurred(pixels: Tensor) -> Tensor:
    """Blur as PIL does: each pixel becomes the mean of its eight neighbours and five times itself; the border stays."""
    blurred = pixels.clone()
    inner = blurred[:, :, 1:-1, 1:-1]
    # avg_pool2d counts the pixel once; 4 more make 5 of 13.
    inner.copy_(((9 * F.avg_pool2d(pixels, 3, 1) + 4 * inner) / 13).round())
    return blurred


def _stretched(pixels: Tensor) -> Tensor:
    """Stretch each channel to 0 .. 255, unless it has a single level."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    return torch.where(high > low, (pixels - low) * (255 / (high - low).clamp(min=1)), pixels).floor()


def _equalized(pixels: Tensor) -> Tensor:
    """Equalize the histogram of each channel, as PIL does."""
    levels = pixels.flatten(2).flatten(0, 1).long()  # (B * 3, S * S): one row per channel
    counts = torch.zeros(len(levels), 256, dtype=torch.int64, device=pixels.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    brightest_count = counts.gather(1, levels.amax(1, keepdim=True))  # PIL leaves the brightest level out of the step
    step = (levels.shape[1] - brightest_count) // 255
    table = ((counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step > 0, table.gather(1, levels), levels).view(pixels.shape).to(pixels.dtype)
