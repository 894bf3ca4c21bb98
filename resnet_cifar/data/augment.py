"""Random transforms of a whole batch at once, on its device, with a draw of their own for each image.

All draws come from the generator that is passed in, and nothing here waits for the device.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.data.trivial_augment import GREY, change_trivially
from resnet_cifar.recipe.augmentation import Augmentation


def augment(images: Tensor, policy: Augmentation, generator: torch.Generator, mirrored: Tensor | None = None) -> Tensor:
    """(B, 3, H, W) uint8 -> the same shape: shifted, mirrored, changed and blanked as `policy` says.

    mirrored: (B,) bool, the images that an alternating flip mirrors in this epoch.
    """
    if policy.crop_padding or policy.flip != "none":
        images = _shift_and_flip(images, policy, mirrored, generator)
    if policy.trivial_augment:
        images = change_trivially(images, generator)
    if policy.random_erasing:
        images = _erase(images, policy.random_erasing, generator)
    return images


def mix(
    images: Tensor,
    others: Tensor,
    labels: Tensor,
    part: slice,
    classes: int,
    policy: Augmentation,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Blend each image, and its label, with the one before it in the batch, which is a random one.

    images, others: (P, 3, H, W) float, a part of the batch, and the ones before them; labels: (B,), of the whole batch
    -> images and (P, classes) shares of each class, which add up to 1. The shares are uniform: Beta(1, 1), as both
    papers use on CIFAR.
    """
    batch, (height, width) = len(labels), images.shape[-2:]
    kind = _uniform(batch, images.device, generator)[part]
    pasted = kind < policy.cutmix
    blended = ~pasted & (kind < policy.cutmix + policy.mixup)
    other_share = _uniform(batch, images.device, generator)
    centre = _centres(batch, images.device, generator)[:, part]
    other_share = other_share[part]
    box = _boxes(centre, other_share, torch.ones_like(other_share), height, width) & pasted[:, None, None]
    weight = torch.where(blended[:, None, None], other_share[:, None, None], box.to(images.dtype))
    share = weight.mean((1, 2))[:, None]
    targets = F.one_hot(labels, classes).to(images.dtype)
    return torch.lerp(images, others, weight[:, None]), torch.lerp(targets[part], targets.roll(1, 0)[part], share)


def _shift_and_flip(
    images: Tensor, policy: Augmentation, mirrored: Tensor | None, generator: torch.Generator
) -> Tensor:
    """One gather does both: each image reads its rows and columns from a shifted, maybe mirrored place."""
    batch, channels, height, width = images.shape
    farthest = round(policy.crop_padding * height)
    shifts = torch.randint(-farthest, farthest + 1, (2, batch, 1), device=images.device, generator=generator)
    rows = _reflect(torch.arange(height, device=images.device) + shifts[0], height)
    columns = _reflect(torch.arange(width, device=images.device) + shifts[1], width)
    if policy.flip == "random":  # drawn after the shifts: the order of draws is part of what a seed means
        mirrored = _uniform(batch, images.device, generator) < 0.5
    if mirrored is not None:
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    image = torch.arange(batch, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[:, None, None]
    return images[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _erase(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Random erasing: 2 to 33 % of the area, sides in a ratio of 0.3 to 3.3 (Zhong et al. 2017, section 3.1)."""
    batch, _, height, width = images.shape
    chosen = _uniform(batch, images.device, generator) < probability
    area = _uniform(batch, images.device, generator) * (0.33 - 0.02) + 0.02
    ratio = torch.exp((_uniform(batch, images.device, generator) * 2 - 1) * math.log(3.3))
    box = _boxes(_centres(batch, images.device, generator), area, ratio, height, width) & chosen[:, None, None]
    grey = torch.stack([torch.full_like(images[0, 0], level) for level in GREY])
    return torch.where(box[:, None], grey, images)


def _centres(batch: int, device: torch.device, generator: torch.Generator) -> Tensor:
    """(2, B, 1): anywhere, as fractions of height and width."""
    return torch.rand((2, batch, 1), device=device, generator=generator)


def _boxes(centre: Tensor, area: Tensor, ratio: Tensor, height: int, width: int) -> Tensor:
    """(B,) areas as a fraction and height-to-width ratios -> (B, H, W) masks around the centres, cut at the edges."""
    half_height = (area * ratio).sqrt()[:, None] * height / 2
    half_width = (area / ratio).sqrt()[:, None] * width / 2
    rows = torch.arange(height, device=area.device) + 0.5
    columns = torch.arange(width, device=area.device) + 0.5
    in_rows = (rows - centre[0] * height).abs() < half_height
    in_columns = (columns - centre[1] * width).abs() < half_width
    return in_rows[:, :, None] & in_columns[:, None, :]


def _reflect(index: Tensor, size: int) -> Tensor:
    """Indices outside 0 .. size - 1, mirrored at the outermost pixels."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _uniform(batch: int, device: torch.device, generator: torch.Generator) -> Tensor:
    return torch.rand(batch, device=device, generator=generator)
