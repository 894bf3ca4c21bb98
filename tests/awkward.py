"""Images that go wrong elsewhere, drawn here: their bytes, and what they must look like or be refused for."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

RED, GREEN = (220, 20, 20), (20, 160, 40)


def halves(size: tuple[int, int] = (64, 64), mode: str = "RGB") -> Image.Image:
    """Red above green."""
    image = Image.new("RGB", size, RED)
    image.paste(GREEN, (0, size[1] // 2, *size))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def turned(orientation: int) -> bytes:
    """Red above green once the orientation is heeded."""
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = halves()
    return saved(image.transpose(back) if back is not None else image, "JPEG", quality=95, exif=exif(orientation))


def transparent() -> Image.Image:
    """Opaque red above nothing at all."""
    image = halves(mode="RGBA")
    image.paste((0, 0, 0, 0), (0, 32, 64, 64))
    return image


def palette_with_alpha() -> bytes:
    image = Image.new("P", (64, 64), 0)
    image.putpalette([*RED, 0, 0, 0])
    image.paste(1, (0, 32, 64, 64))
    return saved(image, "PNG", transparency=1)


def grey16() -> bytes:
    levels = np.full((64, 64), 65535, np.uint16)
    levels[32:] = 0
    return saved(Image.fromarray(levels), "PNG")


def bomb(width: int, height: int) -> bytes:
    """A PNG of any size in a few bytes: its header says so, and its pixels are not even there."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def gif() -> bytes:
    frames = [Image.new("RGB", (64, 64), "blue"), Image.new("RGB", (64, 64), "white")]
    return saved(halves(), "GIF", save_all=True, append_images=frames, duration=50)


def big_jpeg() -> bytes:
    return saved(halves((5000, 4900)), "JPEG")


WHITE, BLACK = (255, 255, 255), (0, 0, 0)

# Name -> bytes, and the colours of the upper and the lower half.
GOOD: dict[str, tuple[Callable[[], bytes], tuple[int, int, int], tuple[int, int, int]]] = {
    **{f"exif-{number}.jpg": (lambda number=number: turned(number), RED, GREEN) for number in range(1, 9)},
    "plain.png": (lambda: saved(halves(), "PNG"), RED, GREEN),
    "plain.webp": (lambda: saved(halves(), "WEBP", lossless=True), RED, GREEN),
    "plain.bmp": (lambda: saved(halves(), "BMP"), RED, GREEN),
    "plain.tiff": (lambda: saved(halves(), "TIFF"), RED, GREEN),
    "wide.png": (lambda: saved(halves((900, 64)), "PNG"), RED, GREEN),
    "cmyk.jpg": (lambda: saved(halves(mode="CMYK"), "JPEG", quality=95), RED, GREEN),
    "cmyk.tiff": (lambda: saved(halves(mode="CMYK"), "TIFF"), RED, GREEN),
    "palette.png": (lambda: saved(halves().quantize(8), "PNG"), RED, GREEN),
    "palette-alpha.png": (palette_with_alpha, RED, WHITE),
    "alpha.png": (lambda: saved(transparent(), "PNG"), RED, WHITE),
    "alpha.webp": (lambda: saved(transparent(), "WEBP", lossless=True), RED, WHITE),
    "grey-alpha.png": (lambda: saved(transparent().convert("LA"), "PNG"), (79, 79, 79), WHITE),
    "grey16.png": (grey16, WHITE, BLACK),
    "grey.png": (lambda: saved(halves(mode="L"), "PNG"), (79, 79, 79), (104, 104, 104)),
    "one-bit.png": (lambda: saved(halves(mode="L").point(lambda v: 255 * (v > 90)).convert("1"), "PNG"), BLACK, WHITE),
    "animated.gif": (gif, RED, GREEN),
    "interlaced.gif": (lambda: saved(halves(), "GIF", interlace=True), RED, GREEN),
    "progressive.jpg": (lambda: saved(halves(), "JPEG", progressive=True, quality=95), RED, GREEN),
    "wrong-name.txt": (lambda: saved(halves(), "PNG"), RED, GREEN),
    "big.jpg": (big_jpeg, RED, GREEN),
    "one-pixel.png": (lambda: saved(Image.new("RGB", (1, 1), RED), "PNG"), RED, RED),
    "thin.png": (lambda: saved(Image.new("RGB", (1, 5000), RED), "PNG"), RED, RED),
}

# Name -> bytes, and words of the sentence.
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "not an image"),
    "text.png": (lambda: b"hello, I am an image", "not an image"),
    "zeros.jpg": (lambda: bytes(1000), "not an image"),
    "vector.svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "document.pdf": (lambda: b"%PDF-1.4\n%%EOF", "not an image"),
    "phone.heic": (lambda: b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200), "not an image"),
    "postscript.eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),
    "cut.jpg": (lambda: saved(halves((300, 300)), "JPEG")[:600], "damaged or truncated"),
    "cut.png": (lambda: saved(halves((300, 300)), "PNG")[:150], "damaged or truncated"),
    "no-pixels.png": (lambda: bomb(64, 64), "damaged or truncated"),
    "30000-wide.png": (lambda: bomb(30_000, 2_000), "30,000 x 2,000 pixels"),
    "one-wide.png": (lambda: bomb(1, 25_000_000), "1 x 25,000,000 pixels; a side may have"),
    "bomb.png": (lambda: bomb(60_000, 60_000), "pixels; up to 25 million"),
    "float.tiff": (lambda: saved(Image.new("F", (8, 8), 0.5), "TIFF"), "floating-point"),
}
