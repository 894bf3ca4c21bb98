"""Decodes any image file to upright 8-bit RGB: the first frame, with a white background.

Image libraries get several of these wrong without an error, and some files are made to exhaust memory. Therefore every
image, from the page, the API or the terminal, is decoded here.
"""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from resnet_cifar.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 25_000_000
MAX_SIDE = 32_768
"""A row costs memory of its own, however narrow it is."""
_ENOUGH = 1024  # pixels per side; JPEGs are decoded at a reduced size, because networks here see far fewer pixels
_BAND = 512  # rows converted at once, so that memory hardly exceeds one copy of a large image


def decode(source: Path | bytes, name: str | None = None) -> Image.Image:
    """Decode an image to RGB; at most 2048 pixels per side. `name` is what messages call it.

    Raises UserError if the file is missing, damaged, too large or not an image.
    """
    name = name or (source.name if isinstance(source, Path) else "the image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
                return _to_rgb(image, name)
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        if isinstance(error, UnidentifiedImageError):
            raise UserError(f"{name} is not an image in a known format; use {', '.join(FORMATS)}.") from error
        raise UserError(_too_large(name, "far too many")) from error
    except FileNotFoundError as error:
        raise UserError(f"there is no file {source!s}.") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        if isinstance(error, OSError) and error.strerror is not None:  # the operating system's; Pillow's have none
            raise UserError(f"cannot read {name}: {error.strerror}.") from error
        raise UserError(f"{name} is damaged or truncated: {str(error) or type(error).__name__}.") from error


def centre_square(image: Image.Image, side: int) -> Image.Image:
    """Crop the central square of an image and resize it to `side` pixels per side."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BICUBIC)


def to_image(pixels: "Tensor") -> Image.Image:
    """Convert pixels (3, H, W), uint8, to an RGB image."""
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())  # importing torchvision's would take a second


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if max(image.size) > MAX_SIDE:
        raise UserError(f"{name} has {image.width:,} x {image.height:,} pixels; a side may have {MAX_SIDE:,} of them.")
    if image.width * image.height > MAX_PIXELS:
        raise UserError(_too_large(name, f"{image.width:,} x {image.height:,}"))
    if image.format == "JPEG":  # the decoder halves the size while it stays above this
        image.draft(None, (_ENOUGH, _ENOUGH))
    image.load()
    rgb = Image.new("RGB", image.size)
    for top in range(0, image.height, _BAND):
        box = (0, top, image.width, min(top + _BAND, image.height))
        rgb.paste(_flatten(image.crop(box), name), box)
    if rgb.width > 2 * _ENOUGH or rgb.height > 2 * _ENOUGH:
        factor = max(1, max(rgb.size) // _ENOUGH)
        rgb = rgb.reduce((min(factor, rgb.width), min(factor, rgb.height)))
    return _upright(rgb, image.getexif().get(0x0112, 1))


def _flatten(image: Image.Image, name: str) -> Image.Image:
    """Convert to 8-bit RGB, with white behind transparent pixels."""
    if image.mode == "F":
        raise UserError(f"{name} has floating-point values, whose range is unknown; save it with 8 bits per channel.")
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip to white
        levels = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn and mirror an image according to its EXIF orientation, 1 to 8."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _too_large(name: str, size: str) -> str:
    return f"{name} has {size} pixels; up to {MAX_PIXELS // 10**6} million are allowed. Scale it down first."
