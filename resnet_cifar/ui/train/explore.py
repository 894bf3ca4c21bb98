"""The train images of one class, as the network sees them: without augmentation, and with that of a stage."""

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from resnet_cifar.data.batches import Images
from resnet_cifar.data.dataset import balanced_order, load, official_splits
from resnet_cifar.data.images import to_image
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.errors import UserError
from resnet_cifar.paths import DATA
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.recipe.datasets import DatasetSpec
from resnet_cifar.system.background import at_once

PAGE = 12
"""Images of an answer."""
_SHOWN = 128  # pixels per side at least, so that small images are sharp on the page
_QUALITY = 90  # of the JPEG files


def explore(
    recipe: Recipe, stage: Stage, data_dir: Path | None, wanted: str, part: int, first: int, draw: int
) -> dict[str, Any]:
    """Return a page of train images of a class or superclass `wanted`, from image `first` on.

    part: stretch of the stage, by its index in `Stage.parts`; its image size and augmentation are used. draw: number of
    the random draw. Raises UserError if the data set is not on this machine.
    """
    train, used = _train_split(recipe, data_dir)
    if wanted not in (*recipe.dataset.labels, *recipe.dataset.superclasses):  # the data set has changed since
        wanted = recipe.dataset.labels[0]
    rows = used[torch.isin(train.labels[used], torch.tensor(_labels(recipe.dataset, wanted)))]
    shown = rows[first : first + PAGE]
    parts = stage.parts()
    chosen = parts[min(part, len(parts) - 1)]
    plain, augmented, targets = _pairs(recipe, train, shown, used, chosen, draw)
    names = recipe.dataset.labels
    images = [
        {"plain": before, "augmented": after, "label": names[int(train.labels[row])], "target": _words(target, names)}
        for before, after, row, target in zip(_urls(plain), _urls(augmented), shown, targets, strict=True)
    ]
    return {
        "images": images,
        "wanted": wanted,
        "total": len(rows),
        "parts": _titles(stage),
        "groups": _groups(recipe.dataset),
    }


def _used(recipe: Recipe, labels: Tensor) -> Tensor:
    """Indices of the images that the recipe learns from, in the order of the data set."""
    order = balanced_order(labels, recipe.seed)
    return order[recipe.val_images : recipe.val_images + cost.training_images(recipe)].sort().values


def _train_split(recipe: Recipe, data_dir: Path | None) -> tuple[Split, Tensor]:
    """Train split, and the rows that the recipe learns from.

    Raises UserError if it is not on this machine: looking at images downloads nothing.
    """
    if recipe.own is not None and data_dir is not None:
        train = _own(recipe, data_dir)
        return train, torch.arange(len(train))
    whole = _whole(recipe.data, data_dir)
    return whole, _used(recipe, whole.labels)


@lru_cache(maxsize=1)
def _own(recipe: Recipe, data_dir: Path) -> Split:
    return at_once(load(recipe, data_dir, torch.device("cpu"))).train


def _whole(data: str, data_dir: Path | None) -> Split:
    if data == "synthetic":
        return _official(data, None)
    try:
        return _official(data, data_dir or DATA)
    except UserError as error:
        if data_dir is not None:
            raise
        raise UserError(
            "CIFAR-100 is not on this machine yet. The first run downloads it (169 MB); or, if you have it, enter its "
            "folder under Advanced, Data folder."
        ) from error


@lru_cache(maxsize=1)  # 150 MB for CIFAR-100
def _official(data: str, folder: Path | None) -> Split:
    return at_once(official_splits(data, folder))[0]


def _labels(spec: DatasetSpec, wanted: str) -> list[int]:
    """Label numbers of a class, or of all classes of a superclass."""
    if wanted in spec.labels:
        return [spec.labels.index(wanted)]
    group = spec.superclasses.index(wanted)
    return [label for label, coarse in enumerate(spec.superclass_of) if coarse == group]


def _groups(spec: DatasetSpec) -> list[dict[str, Any]]:
    """Classes by superclass; a single group without a name if there are no superclasses."""
    if not spec.superclasses:
        return [{"name": "", "labels": spec.labels}]
    return [
        {"name": name, "labels": [spec.labels[label] for label in _labels(spec, name)]} for name in spec.superclasses
    ]


def _titles(stage: Stage) -> list[str]:
    """Epochs and image size of each part of a stage."""
    titles, first = [], 0
    for part in stage.parts():
        span = f"Epochs {first + 1} to {first + part.epochs}" if part.epochs > 1 else f"Epoch {first + 1}"
        mixed = ", mixed" if part.augmentation.mixes else ""
        titles.append(f"{span}: {part.image_size} px{mixed}")
        first += part.epochs
    return titles


def _pairs(
    recipe: Recipe, train: Split, rows: Tensor, used: Tensor, part: Stage, draw: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Images (B, 3, S, S) in 0..1 before and after augmentation, and their targets (B, classes).

    Mixing takes the image before each one in the batch. In training that is any image, so random ones stand between.
    """
    preprocess = Preprocess(part.image_size, recipe.dataset.normalization, torch.device("cpu"))
    generator = torch.Generator().manual_seed(1_000_003 * draw + int(rows.sum()))  # other draws on each page
    others = used[torch.randint(len(used), (len(rows),), generator=generator)]
    batch = torch.stack((others, rows), 1).flatten()
    mirrored_first = torch.rand(len(train), generator=torch.Generator().manual_seed(0)) < 0.5
    source = Images(train, preprocess, recipe.stem, lambda _: part.augmentation, mirrored_first)
    inputs, targets = source.training_batch(batch, draw, generator, slice(0, len(batch)))
    if targets.ndim == 1:
        targets = torch.nn.functional.one_hot(targets, len(recipe.dataset.labels)).float()
    return _visible(preprocess(train.images[rows]), recipe), _visible(inputs[1::2], recipe), targets[1::2]


def _visible(inputs: Tensor, recipe: Recipe) -> Tensor:
    """Undo the normalization."""
    normalization = recipe.dataset.normalization
    mean, std = (torch.tensor(values)[:, None, None] for values in (normalization.mean, normalization.std))
    return (inputs * std + mean).clamp(0, 1)


def _words(target: Tensor, names: tuple[str, ...]) -> str:
    """Say which classes an image counts as, such as `62 % trout, 38 % bus`; empty for a single one."""
    shares, labels = target.topk(2)
    if shares[1] < 0.005:
        return ""
    pairs = zip(shares.tolist(), labels.tolist(), strict=True)
    return ", ".join(f"{share:.0%} {names[label]}".replace("%", " %") for share, label in pairs)


def _urls(images: Tensor) -> list[str]:
    return [_url(image) for image in images]


def _url(image: Tensor) -> str:
    """Encode (3, S, S) in 0..1 as a JPEG; small ones are enlarged by a whole factor, pixel by pixel."""
    shown = to_image(image.mul(255).round().byte())
    factor = -(-_SHOWN // shown.width)
    shown = shown.resize((shown.width * factor, shown.height * factor), Image.Resampling.NEAREST)
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
