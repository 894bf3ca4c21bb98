"""Images to try, drawn with a few lines of arithmetic each: none has to be shipped, fetched or licensed."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.float64]
"""Rows, columns and, of a colour, red, green and blue from 0 to 255."""

_SIDE = 320
_RIDGES = (  # noise, height, slope and colour
    (3, 0.16, 1.0, (112, 122, 140)),
    (4, 0.6, 0.35, (70, 96, 84)),
    (5, 0.78, 0.2, (44, 74, 50)),
)
_TOWERS = (  # left, top, width and colour
    (20, 170, 70, (52, 56, 88)),
    (226, 140, 76, (48, 52, 84)),
    (108, 34, 104, (34, 38, 66)),
)
_X, _Y = np.meshgrid(np.linspace(0, 1, _SIDE), np.linspace(0, 1, _SIDE))  # from the left, from above


@cache
def drawn(name: str) -> Image.Image:
    """The image of that name."""
    return EXAMPLES[name]().convert("RGB")


def _orange() -> Image.Image:
    """A ball, lit from above left, and its shadow on a table."""
    x, y = (_X - 0.5) / 0.36, (_Y - 0.5) / 0.36
    height = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
    light = np.clip(0.42 + 0.55 * (0.75 * height - 0.45 * x - 0.5 * y), 0.2, 1.1)
    gloss = 110 * np.exp(-((x + 0.38) ** 2 + (y + 0.42) ** 2) / 0.03)
    skin = np.array((255, 146, 20)) * light[..., None] + gloss[..., None]
    shadow = 1 - 0.5 * np.exp(-(((_X - 0.58) / 0.3) ** 2) - ((_Y - 0.84) / 0.06) ** 2)
    table = _blend((226, 220, 212), (188, 178, 166), _Y) * shadow[..., None]
    return _image(_over(table, skin, _edge(1 - np.hypot(x, y), 0.02)))


def _sunflower() -> Image.Image:
    """Two rings of petals around seeds that stand as in Vogel 1979: each turned by the golden angle."""
    image = _image(_blend((120, 176, 226), (92, 132, 64), _Y**1.5)).filter(ImageFilter.GaussianBlur(6))
    draw = ImageDraw.Draw(image)
    draw.line([(160, 160), (172, 320)], fill=(70, 110, 46), width=14)
    for ring, (reach, colour) in enumerate(((146, (232, 164, 12)), (128, (250, 200, 30)))):
        for petal in range(22):
            turn = 2 * math.pi * (petal + ring / 2) / 22
            outline = [(60, -2), (reach * 0.7, -15), (reach, 0), (reach * 0.7, 15), (60, 2)]
            draw.polygon([_turned(x, y, turn) for x, y in outline], fill=colour, outline=(206, 138, 10))
    draw.ellipse((88, 88, 232, 232), fill=(66, 40, 18))
    for seed in range(420):
        x, y = _turned(3.4 * math.sqrt(seed), 0, seed * math.pi * (3 - math.sqrt(5)))
        shade = 60 + seed // 5
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(shade + 40, shade, 30))
    return image


def _cloud() -> Image.Image:
    """White heaps on blue."""
    heap = 1 - ((_X - 0.5) / 0.46) ** 2 - ((_Y - 0.55) / 0.34) ** 2
    shade = 1.6 * _Y + 0.5 * _noise(seed=7, finest=6) - 0.7
    white = _blend((255, 255, 255), (190, 204, 222), shade)
    sky = _blend((52, 120, 204), (150, 198, 238), _Y)
    return _image(_over(sky, white, _edge(heap + 1.5 * (_noise(seed=6, finest=6) - 0.5), 0.5)))


def _mountain() -> Image.Image:
    """A peak with snow on it, behind two darker ridges."""
    pixels = _blend((104, 158, 214), (214, 228, 240), _Y)
    for seed, top, slope, colour in _RIDGES:
        rock = np.array(colour) * (0.7 + 0.6 * _noise(seed + 20, finest=7))[..., None]
        snow = _edge(0.42 - _Y + 0.4 * (_noise(seed + 6, finest=7) - 0.5), 0.03)
        ridge = top + slope * np.abs(_X - 0.52) + 0.22 * (_noise(seed, finest=7)[_SIDE // 2] - 0.5)
        pixels = _over(pixels, _over(rock, np.full_like(rock, 246), snow), _edge(_Y - ridge, 0.006))
    return _image(pixels)


def _sea() -> Image.Image:
    """The sun over waves that grow towards us."""
    sky = _blend((94, 140, 200), (252, 206, 150), _Y / 0.45)
    sky = _over(sky, np.full_like(sky, 250), np.exp(-((_X - 0.5) ** 2 + (_Y - 0.34) ** 2) / 0.004))
    depth = np.clip((_Y - 0.45) / 0.55, 0.02, 1)
    waves = np.sin(26 / (depth + 0.12) + 5 * _noise(seed=11, finest=4) + 9 * _noise(seed=12, finest=6) - 4.5)
    water = _blend((96, 142, 168), (14, 58, 98), depth) * (1 + 0.16 * waves)[..., None]
    glitter = np.clip(waves, 0, 1) * np.exp(-(((_X - 0.5) / (0.05 + 0.25 * depth)) ** 2))
    water = _over(water, np.array((255, 226, 178)), 0.8 * glitter)
    return _image(_over(sky, water, _edge(_Y - 0.45, 0.004)))


def _skyscraper() -> Image.Image:
    """Towers at dusk; chance lights the windows."""
    image = _image(_blend((38, 52, 104), (244, 160, 120), _Y))
    draw, chance = ImageDraw.Draw(image), np.random.default_rng(2)
    for left, top, width, colour in _TOWERS:
        draw.rectangle((left, top, left + width, 320), fill=colour)
        for x in range(left + 7, left + width - 8, 13):
            for y in range(top + 10, 320, 14):
                draw.rectangle((x, y, x + 7, y + 7), fill=(255, 222, 140) if chance.random() < 0.6 else (66, 72, 112))
    draw.polygon([(150, 34), (160, 2), (170, 34)], fill=(34, 38, 66))
    return image


EXAMPLES: dict[str, Callable[[], Image.Image]] = {
    "orange": _orange,
    "sunflower": _sunflower,
    "cloud": _cloud,
    "mountain": _mountain,
    "sea": _sea,
    "skyscraper": _skyscraper,
}


def _noise(seed: int, finest: int) -> Pixels:
    """Noise from 0 to 1: ever finer grids of random values, each half as strong as the one before."""
    random, total = np.random.default_rng(seed), np.zeros((_SIDE, _SIDE))
    for octave in range(1, finest + 1):
        grid = Image.fromarray(random.random((2**octave + 1,) * 2).astype(np.float32))
        total += np.asarray(grid.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)) / 2**octave
    return (total - total.min()) / (total.max() - total.min())


def _blend(one: tuple[int, int, int], other: tuple[int, int, int], share: Pixels) -> Pixels:
    return _over(np.array(one, float), np.array(other, float), np.clip(share, 0, 1))


def _over(below: Pixels, above: Pixels, share: Pixels) -> Pixels:
    return below + (above - below) * share[..., None]


def _edge(inside: Pixels, softness: float) -> Pixels:
    return np.clip(inside / softness, 0, 1)


def _turned(x: float, y: float, angle: float) -> tuple[float, float]:
    cos, sin = math.cos(angle), math.sin(angle)
    return _SIDE / 2 + x * cos - y * sin, _SIDE / 2 + x * sin + y * cos


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
