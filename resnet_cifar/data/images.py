"""From whatever file a person has to the image in it: upright, on white, its first frame, 8 bits of RGB.

Image libraries get several of these silently wrong, and some files are made to fill a machine's memory; so every
image, from the page, a program or the terminal, comes in through here.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from resnet_cifar.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 25_000_000
_ENOUGH = 1024  # pixels a side; a JPEG can be decoded smaller than it is, and no network here looks closer
_BAND = 512  # rows that are converted at once, so that a large image is in memory hardly more than once


def decode(source: Path | bytes, name: str | None = None) -> Image.Image:
    """The image in a file, RGB. Raises UserError, which calls it `name`, where there is none or it is too large."""
    name = name or (source.name if isinstance(source, Path) else "the image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
                return _to_rgb(image, name)
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        if isinstance(error, UnidentifiedImageError):
            raise UserError(f"{name} is no image in one of {', '.join(FORMATS)}.") from error
        raise UserError(_too_large(name, "far too many")) from error
    except FileNotFoundError as error:
        raise UserError(f"there is no file {source!s}.") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise UserError(f"{name} is broken or cut short: {str(error) or type(error).__name__}.") from error


def centre_square(image: Image.Image, side: int) -> Image.Image:
    """The middle of an image as a square of `side` pixels."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BICUBIC)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise UserError(_too_large(name, f"{image.width:,} x {image.height:,}"))
    if image.format == "JPEG":
        image.draft(None, (_ENOUGH, _ENOUGH))
    image.load()
    rgb = Image.new("RGB", image.size)
    for top in range(0, image.height, _BAND):
        box = (0, top, image.width, min(top + _BAND, image.height))
        rgb.paste(_flatten(image.crop(box), name), box)
    if rgb.width > 2 * _ENOUGH or rgb.height > 2 * _ENOUGH:
        factor = max(1, max(rgb.size) // _ENOUGH)
        rgb = rgb.reduce((min(factor, rgb.width), min(factor, rgb.height)))
    orientation = image.getexif().get(0x0112, 1)
    return _upright(rgb, orientation)


def _flatten(image: Image.Image, name: str) -> Image.Image:
    """RGB, with what is transparent on white."""
    if image.mode == "F":
        raise UserError(f"{name} holds floating-point values, whose white is anybody's guess; save it with 8 bits.")
    if image.mode.startswith("I"):  # 16 bits of grey
        levels = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turned as EXIF's orientation, 1 to 8, asks for."""
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
    return f"{name} has {size} pixels; up to {MAX_PIXELS // 10**6} million are read. Scale it down first."
