"""Random transforms of a whole batch at once, on its device, with separate random draws for each image.

All draws come from the generator that is passed in, and nothing here waits for the device. The order of the draws is
part of what a seed means: changing it changes every run.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.data.trivial_augment import GREY, trivial_augment
from resnet_cifar.recipe.augmentation import Augmentation


def augment(images: Tensor, policy: Augmentation, generator: torch.Generator, mirrored: Tensor | None = None) -> Tensor:
    """Apply the transforms of `policy` to a batch, except mixup and CutMix.

    images: (B, 3, H, W) uint8 -> the same shape and dtype.
    mirrored: (B,) bool, the images that an alternating flip mirrors in this epoch.
    """
    if policy.crop_padding or policy.flip != "none":
        images = _shift_and_flip(images, policy, mirrored, generator)
    if policy.trivial_augment:
        images = trivial_augment(images, generator)
    if policy.random_erasing:
        images = _erase(images, policy.random_erasing, generator)
    return images


def mix(
    images: Tensor,
    others: Tensor,
    labels: Tensor,
    shard: slice,
    classes: int,
    policy: Augmentation,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Apply mixup or CutMix to one shard of a batch.

    Each image is mixed with the one before it in the batch, a random one because batches are shuffled. Ratios are
    uniform: Beta(1, 1), as both papers use on CIFAR.

    images, others: (P, 3, H, W) float, the shard and the images before each of its images; labels: (B,) int64, of the
    whole batch. Returns the mixed images and their targets, (P, classes) probabilities.
    """
    batch, (height, width) = len(labels), images.shape[-2:]
    # Drawn for the whole batch: several processes then mix like one, and stay at the same place in the generator.
    kind = _uniform(batch, images.device, generator)[shard]
    pasted = kind < policy.cutmix
    blended = ~pasted & (kind < policy.cutmix + policy.mixup)
    ratio = _uniform(batch, images.device, generator)[shard]
    centre = _centres(batch, images.device, generator)[:, shard]
    box = _boxes(centre, ratio, torch.ones_like(ratio), height, width) & pasted[:, None, None]
    # Weight of the other image at each pixel: the same everywhere for mixup, 1 inside the box for CutMix.
    weight = torch.where(blended[:, None, None], ratio[:, None, None], box.to(images.dtype))
    target_weight = weight.mean((1, 2))[:, None]  # area of the box that is inside the image, not the ratio drawn
    targets = F.one_hot(labels, classes).to(images.dtype)
    mixed_targets = torch.lerp(targets[shard], targets.roll(1, 0)[shard], target_weight)
    return torch.lerp(images, others, weight[:, None]), mixed_targets


def _shift_and_flip(
    images: Tensor, policy: Augmentation, mirrored: Tensor | None, generator: torch.Generator
) -> Tensor:
    """Shift and mirror in a single gather: each image reads its own shifted, perhaps reversed, rows and columns."""
    batch, channels, height, width = images.shape
    limit = round(policy.crop_padding * height)
    shifts = torch.randint(-limit, limit + 1, (2, batch, 1), device=images.device, generator=generator)
    rows = _reflect(torch.arange(height, device=images.device) + shifts[0], height)
    columns = _reflect(torch.arange(width, device=images.device) + shifts[1], width)
    if policy.flip == "random":  # this draw comes after the shifts
        mirrored = _uniform(batch, images.device, generator) < 0.5
    if mirrored is not None:
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    # Index tensors of shape (B, 1, 1, 1), (C, 1, 1), (B, 1, H, 1) and (B, 1, 1, W) broadcast to (B, C, H, W).
    image = torch.arange(batch, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[:, None, None]
    return images[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _erase(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Erase a rectangle: 2 to 33 % of the area, height to width 0.3 to 3.3 (Zhong et al. 2017, section 3.1)."""
    batch, _, height, width = images.shape
    chosen = _uniform(batch, images.device, generator) < probability
    area = _uniform(batch, images.device, generator) * (0.33 - 0.02) + 0.02
    ratio = torch.exp((_uniform(batch, images.device, generator) * 2 - 1) * math.log(3.3))  # log-uniform
    box = _boxes(_centres(batch, images.device, generator), area, ratio, height, width) & chosen[:, None, None]
    # Filled on the device: copying torch.tensor(GREY) to a GPU would wait for it.
    grey = torch.stack([torch.full_like(images[0, 0], level) for level in GREY])
    return torch.where(box[:, None], grey, images)


def _centres(batch: int, device: torch.device, generator: torch.Generator) -> Tensor:
    """Draw box centres: (2, B, 1), as fractions of height and of width."""
    return torch.rand((2, batch, 1), device=device, generator=generator)


def _boxes(centre: Tensor, area: Tensor, ratio: Tensor, height: int, width: int) -> Tensor:
    """Return (B, H, W) masks of boxes, clipped at the edges. area: (B,) as a fraction; ratio: (B,) height to width."""
    half_height = (area * ratio).sqrt()[:, None] * height / 2
    half_width = (area / ratio).sqrt()[:, None] * width / 2
    rows = torch.arange(height, device=area.device) + 0.5  # centres of the pixels
    columns = torch.arange(width, device=area.device) + 0.5
    in_rows = (rows - centre[0] * height).abs() < half_height
    in_columns = (columns - centre[1] * width).abs() < half_width
    return in_rows[:, :, None] & in_columns[:, None, :]


def _reflect(index: Tensor, size: int) -> Tensor:
    """Reflect indices outside 0 .. size - 1 at the outermost pixels, which are not repeated."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _uniform(batch: int, device: torch.device, generator: torch.Generator) -> Tensor:
    return torch.rand(batch, device=device, generator=generator)
