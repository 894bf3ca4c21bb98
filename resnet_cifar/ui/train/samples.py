"""Images before and after a stage's augmentation, as one sees them on the page; never stored."""

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from resnet_cifar.data.augment import augment, mix
from resnet_cifar.data.dataset import balanced_order, load, official_splits
from resnet_cifar.data.images import to_image
from resnet_cifar.errors import UserError
from resnet_cifar.paths import DATA
from resnet_cifar.recipe.augmentation import Augmentation
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.system.background import at_once
from resnet_cifar.ui.classify.examples import EXAMPLES, example_image

COUNT = 8
"""Images in a strip."""
_SOURCES = {"cifar100": "train images of CIFAR-100", "synthetic": "synthetic images"}
_PHOTOGRAPHS = "example photographs at 32 px, because CIFAR-100 has not been downloaded yet"


def samples(recipe: Recipe, stage: Stage, data_dir: Path | None, seed: int) -> dict[str, Any]:
    """Return the images before augmentation, and after that of each part of the stage, as data URLs."""
    images, labels, source = _images(recipe, data_dir)
    classes = len(recipe.dataset.labels)
    strips, last, first = [], None, 0
    for part in stage.parts():
        title = f"Epochs {first + 1} to {first + part.epochs}" if part.epochs > 1 else f"Epoch {first + 1}"
        first += part.epochs
        if part.augmentation != last:
            after = _augmented(images, labels, classes, part.augmentation, seed)
            strips.append({"title": title, "images": _urls(after)})
        last = part.augmentation
    if len(strips) == 1:
        strips[0]["title"] = "After"
    return {"source": source, "strips": [{"title": "Before", "images": _urls(images)}, *strips]}


def _images(recipe: Recipe, data_dir: Path | None) -> tuple[Tensor, Tensor, str]:
    """Images (COUNT, 3, side, side) uint8 of different classes, their labels, and what they are."""
    if recipe.own is not None and data_dir is not None:
        return *_own_images(recipe, data_dir), "your own train images"
    folder = data_dir or (DATA if recipe.data == "cifar100" else None)
    if recipe.data == "synthetic" or (folder is not None and folder.is_dir()):
        try:
            return *_train_images(recipe.data, folder), _SOURCES[recipe.data]
        except UserError:
            pass
    return *_photographs(), _PHOTOGRAPHS


@lru_cache(maxsize=2)
def _train_images(data: str, folder: Path | None) -> tuple[Tensor, Tensor]:
    train, _ = at_once(official_splits(data, folder))
    chosen = balanced_order(train.labels, seed=0)[:COUNT]
    return train.images[chosen].clone(), train.labels[chosen].clone()


@lru_cache(maxsize=2)
def _own_images(recipe: Recipe, data_dir: Path) -> tuple[Tensor, Tensor]:
    train = at_once(load(recipe, data_dir, torch.device("cpu"))).train
    chosen = balanced_order(train.labels, seed=0)[:COUNT]
    return train.images[chosen].clone(), train.labels[chosen].clone()


@lru_cache(maxsize=1)
def _photographs() -> tuple[Tensor, Tensor]:
    """Examples at 32 px; the first ones again, from nearer, so that there are enough."""
    whole = [example_image(name) for name in EXAMPLES]
    nearer = [image.crop((image.width // 4, image.height // 4, image.width * 3 // 4, image.height)) for image in whole]
    tensors = [_tensor(image) for image in [*whole, *nearer][:COUNT]]
    return torch.stack(tensors), torch.arange(COUNT)


def _tensor(image: Image.Image) -> Tensor:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    small = image.crop((left, top, left + side, top + side)).resize((32, 32), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1)


def _augmented(images: Tensor, labels: Tensor, classes: int, policy: Augmentation, seed: int) -> Tensor:
    """Apply a policy as training does: all of it on uint8, then mixing."""
    generator = torch.Generator().manual_seed(seed)
    mirrored = torch.arange(len(images)) % 2 == seed % 2 if policy.flip == "alternating" else None
    images = augment(images, policy, generator, mirrored)
    if not policy.mixes:
        return images
    floats = images.float()
    mixed, _ = mix(floats, floats.roll(1, 0), labels, slice(None), classes, policy, generator)
    return mixed.round().clamp(0, 255).to(torch.uint8)


def _urls(images: Tensor) -> list[str]:
    return [_url(image) for image in images]


def _url(image: Tensor) -> str:
    """Encode (3, H, W) uint8 as a PNG, doubled so that it stays sharp on the page."""
    doubled = F.interpolate(image[None], scale_factor=2, mode="nearest")[0]
    file = io.BytesIO()
    to_image(doubled).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
