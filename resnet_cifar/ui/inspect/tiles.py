"""Images of the data set as tiles: what is shown of each, and why there are none where the data set is missing."""

import base64
import io
from collections.abc import Iterable
from typing import Any

from PIL import Image
from torch import Tensor

from resnet_cifar.data.images import to_image
from resnet_cifar.errors import UserError
from resnet_cifar.inspection.predictions import Predictions
from resnet_cifar.ui.inspect.inspected import HIDDEN, Inspected

NO_IMAGES = (
    "The images are not shown, because the data set is not on this machine: set CIFAR100_DIR to its folder, "
    "or start a run, which downloads it once."
)


def words(name: str) -> str:
    """Return a class's name as words."""
    return name.replace("_", " ")


def tiles(inspected: Inspected, name: str, answered: Predictions, rows: Iterable[int]) -> dict[str, Any]:
    """Return tiles of the rows, and why they have no images if so."""
    shown = list(rows)
    try:
        images: Tensor | None = inspected.images(name, answered.split).images
        why_not = ""
    except UserError:
        images, why_not = None, HIDDEN if inspected.models.hides_images(name) else NO_IMAGES
    return {"tiles": [_tile(answered, row, images) for row in shown], "why_not": why_not}


def _tile(answered: Predictions, row: int, images: Tensor | None) -> dict[str, Any]:
    truth, said = int(answered.labels[row]), int(answered.predicted[row])
    return {
        "row": row,
        "image": png(images[row]) if images is not None else "",
        "truth": words(answered.spec.labels[truth]),
        "said": words(answered.spec.labels[said]),
        "confidence": round(float(answered.probabilities[row, said]), 4),
    }


def png(image: Tensor) -> str:
    """Encode (3, H, W) uint8 as a data URL; the page enlarges it."""
    return data_url(to_image(image), "PNG")


def data_url(image: Image.Image, format: str) -> str:
    """Encode an image as a data URL."""
    out = io.BytesIO()
    image.save(out, format, **({"quality": 88} if format == "JPEG" else {}))
    return f"data:image/{format.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"
