"""A person's own images as they are stored: decoded, small, in one safetensors file with their report.

The file is all that a run needs, so an archive that was dropped on the page need not be kept.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from resnet_cifar.data.own_report import Report
from resnet_cifar.errors import UserError
from resnet_cifar.paths import DATA
from resnet_cifar.recipe.datasets import OwnData
from resnet_cifar.system import files

ENDING = ".safetensors"
UPLOADED = DATA / "own"
"""Folder for the images of uploaded archives, and for those whose own place is not writable."""
_CACHE = ".resnet_cifar"  # hidden, so that the folder's layout ignores it


@dataclass(frozen=True)
class OwnImages:
    """Decoded images with their labels, splits and report."""

    images: Tensor
    """(N, 3, side, side) uint8."""
    labels: Tensor
    """(N,) int64, indices in `report.labels`."""
    splits: Tensor
    """(N,) int64, indices in `SPLITS`."""
    report: Report
    fingerprint: str
    """Digest of images, labels and splits, the same for the same images in another place."""
    file: Path
    """File that they are stored in."""

    def facts(self) -> OwnData:
        """Return what a recipe holds of the images."""
        counts = self.report.counts
        return OwnData(
            labels=self.report.labels,
            train_counts=counts["train"],
            val_images=sum(counts["val"]),
            test_images=sum(counts["test"]),
            side=self.images.shape[-1],
            fingerprint=self.fingerprint,
        )

    def first_of_each_class(self) -> Tensor:
        """Return the row of each class's first image: (classes,) int64."""
        return torch.stack([(self.labels == label).nonzero()[0, 0] for label in range(len(self.report.labels))])


def place(path: Path, key: str) -> Path:
    """Return the file for the images of `path`: beside them, or in `UPLOADED` if that place is not writable."""
    beside = (path if path.is_dir() else path.parent) / _CACHE
    try:
        beside.mkdir(exist_ok=True)
    except OSError:
        beside = UPLOADED
    return beside / f"{key}{ENDING}"


def write(own: OwnImages) -> None:
    """Store images in their file. Raises UserError if the disk refuses it."""
    tensors = {"images": own.images, "labels": own.labels, "splits": own.splits}
    try:
        own.file.parent.mkdir(parents=True, exist_ok=True)
        files.sweep(own.file.parent)
        with files.replacing(own.file) as draft:
            save_file(tensors, draft, {"report": json.dumps(asdict(own.report)), "fingerprint": own.fingerprint})
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {own.file}: {error}. Free disk space or fix permissions.") from error


def stored(file: Path) -> OwnImages | None:
    """Read what was stored; None if it is missing or damaged."""
    try:
        with safe_open(file, "pt") as content:
            header = content.metadata()
            report, fingerprint = Report.from_json(json.loads(header["report"])), header["fingerprint"]
            images, labels, splits = (content.get_tensor(name) for name in ("images", "labels", "splits"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return OwnImages(images, labels, splits, report, fingerprint, file)
