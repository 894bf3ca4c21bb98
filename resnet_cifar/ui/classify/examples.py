"""Example photographs for the Classify tab, from `examples/`; SOURCES.md there lists authors and licences."""

from functools import cache
from pathlib import Path

from PIL import Image

from resnet_cifar.data.images import decode

_FOLDER = Path(__file__).with_suffix("")

UNKNOWN = "cat"
"""An example that belongs to none of the 100 classes."""

EXAMPLES = ("raccoon", "motorcycle", "rocket", "skyscraper", "cup", UNKNOWN)


@cache
def example_image(name: str) -> Image.Image:
    """Decode an example as RGB."""
    return decode(_FOLDER / f"{name}.jpg")
