"""Loss and accuracy curves of a run as an image for its model card.

Drawn with Pillow, because plotly needs a browser to write images and may be missing on a training machine.
"""

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFont

from resnet_cifar.report.series import XAxis
from resnet_cifar.report.text import percent
from resnet_cifar.runs.record import Record

_SIZE = (1200, 440)
_SCALE = 2  # drawn at twice the size and then reduced, because Pillow does not smooth the edges of lines
_INK, _FAINT, _TRAIN, _VAL, _TOP5 = "#1e293b", "#cbd5e1", "#94a3b8", "#0d9488", "#d97706"

Line = tuple[str, str, Sequence[tuple[float, float]]]
"""Name, colour and points."""


def sketch(record: Record) -> Image.Image:
    """Draw loss and accuracy of a run side by side."""
    width, height = _SIZE
    image = Image.new("RGB", (width * _SCALE, height * _SCALE), "white")
    panel = width // 2
    _Panel(image, 0, panel, "loss", _losses(record), "{:.2f}".format).draw()
    _Panel(image, panel, panel, "accuracy", _accuracies(record), percent).draw()
    return image.resize(_SIZE, Image.Resampling.LANCZOS)


def _losses(record: Record) -> list[Line]:
    axis, so_far = XAxis(record, "step"), record.events
    train = [(axis.position(step), step.loss) for step in so_far.steps]
    val = [(axis.position(ended), ended.val.loss) for ended in so_far.epochs if ended.val]
    return [("train", _TRAIN, train), ("val", _VAL, val)]


def _accuracies(record: Record) -> list[Line]:
    axis, epochs = XAxis(record, "step"), record.events.epochs
    train = [(axis.position(ended), ended.train_top1) for ended in epochs]
    val = [(axis.position(ended), ended.val.top1) for ended in epochs if ended.val]
    top5 = [(axis.position(ended), ended.val.top5) for ended in epochs if ended.val]
    return [("train", _TRAIN, train), ("val", _VAL, val), ("val top-5", _TOP5, top5)]


class _Panel:
    """One plot: a pair of axes and its lines."""

    def __init__(
        self, image: Image.Image, left: int, width: int, title: str, lines: Sequence[Line], text: Callable[[float], str]
    ) -> None:
        self._draw = ImageDraw.Draw(image)
        self._font = ImageFont.load_default(13 * _SCALE)
        self._title = title
        finite = [
            (name, colour, [point for point in points if math.isfinite(point[1])]) for name, colour, points in lines
        ]
        self._lines = [line for line in finite if line[2]]
        self._text = text
        self._box = [edge * _SCALE for edge in (left + 76, 48, left + width - 20, _SIZE[1] - 44)]
        points = [point for _, _, points in self._lines for point in points] or [(0.0, 0.0)]
        self._last_x = max(x for x, _ in points) or 1
        self._low, self._high = min(y for _, y in points), max(y for _, y in points)
        if self._high == self._low:
            self._high = self._low + 1

    def draw(self) -> None:
        """Draw the axes, the lines and their names."""
        left, top, right, bottom = self._box
        for part in (0.0, 0.5, 1.0):
            y = bottom + part * (top - bottom)
            self._draw.line((left, y, right, y), fill=_FAINT, width=_SCALE)
            value = self._text(self._low + part * (self._high - self._low))
            self._write(left - 8 * _SCALE, y, value, _INK, "rm")
        self._write((left + right) / 2, bottom + 24 * _SCALE, f"{self._last_x:,.0f} steps", _INK, "mm")
        self._write(left, 22 * _SCALE, self._title, _INK, "lm")
        x = float(right)
        for name, colour, points in reversed(self._lines):
            self._draw.line([self._pixel(point) for point in points], fill=colour, width=2 * _SCALE, joint="curve")
            self._write(x, 22 * _SCALE, name, colour, "rm")
            x -= self._draw.textlength(name, self._font) + 16 * _SCALE

    def _pixel(self, point: tuple[float, float]) -> tuple[float, float]:
        left, top, right, bottom = self._box
        x, y = point
        share = (y - self._low) / (self._high - self._low)
        return left + x / self._last_x * (right - left), bottom + share * (top - bottom)

    def _write(self, x: float, y: float, text: str, colour: str, anchor: str) -> None:
        self._draw.text((x, y), text, fill=colour, font=self._font, anchor=anchor)
