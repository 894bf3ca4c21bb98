"""The official files of CIFAR-100-C, as Hendrycks and Dietterich published them: https://zenodo.org/records/3555552."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnet_cifar.data.split import Split
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.datasets import DATASETS

SPEC = DATASETS["cifar100"]
STRENGTHS = 5
NAMES = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
"""The 15 corruptions that the published mean is over; the folder's other four are extra."""

_LABELS = "labels.npy"
_SOURCE = "download CIFAR-100-C.tar from https://zenodo.org/records/3555552 and unpack it"


@dataclass(frozen=True)
class Cifar100C:
    """The images, memory-mapped, and their labels."""

    images: dict[str, np.ndarray[Any, Any]]
    """Of each corruption, (50000, 32, 32, 3) uint8: the 10,000 test images at each strength, the weakest first."""
    labels: torch.Tensor
    """(50000,) int64."""

    @classmethod
    def open(cls, folder: Path) -> "Cifar100C":
        """Open the files. Raises UserError if one is missing, damaged or of another data set."""
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}; name the one with the .npy files of CIFAR-100-C.")
        missing = [name for name in (*(f"{name}.npy" for name in NAMES), _LABELS) if not (folder / name).is_file()]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UserError(f"{folder} lacks {missing[0]}{more} of CIFAR-100-C's 16 files; {_SOURCE}.")
        rows, side = STRENGTHS * SPEC.test_images, SPEC.side
        images = {name: _read(folder / f"{name}.npy", (rows, side, side, 3)) for name in NAMES}
        labels = torch.from_numpy(_read(folder / _LABELS, (rows,)).astype(np.int64))
        counts = torch.bincount(labels.clamp(min=0), minlength=len(SPEC.labels))
        if labels.min() < 0 or counts.tolist() != [rows // len(SPEC.labels)] * len(SPEC.labels):
            raise UserError(
                f"{folder / _LABELS} is not CIFAR-100-C's: it should have {len(SPEC.labels)} classes with "
                f"{rows // len(SPEC.labels)} images each, and has {int((counts > 0).sum())}; {_SOURCE}."
            )
        return cls(images, labels)

    def splits(self) -> Iterator[Split]:
        """Yield the images of each corruption at each strength, in the order of `NAMES`, the weakest first."""
        for images in self.images.values():
            for part in torch.arange(len(self.labels)).chunk(STRENGTHS):
                chosen = slice(int(part[0]), int(part[-1]) + 1)
                pixels = torch.from_numpy(np.array(images[chosen])).permute(0, 3, 1, 2).contiguous()
                yield Split(pixels, self.labels[chosen], SPEC)


def _read(file: Path, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Map a file of integers into memory. Raises UserError if it is damaged or has another shape or type."""
    try:
        content = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}.") from error
    except (ValueError, EOFError, SyntaxError) as error:
        raise UserError(f"{file} is damaged or not a .npy file of numbers; {_SOURCE}.") from error
    if not isinstance(content, np.ndarray):  # an .npz archive
        raise UserError(f"{file} holds several arrays and should hold one; {_SOURCE}.")
    is_right_type = content.dtype == np.uint8 if len(shape) > 1 else content.dtype.kind in "iu"
    if content.shape != shape or not is_right_type:
        raise UserError(f"{file} holds {content.shape} {content.dtype}; CIFAR-100-C has {shape} uint8; {_SOURCE}.")
    return content
