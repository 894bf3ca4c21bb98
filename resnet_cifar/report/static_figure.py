"""Loss and accuracy of a run as an image for its model card, drawn without plotly: a trainer may run where none is."""

from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFont

from resnet_cifar.report.series import Along
from resnet_cifar.report.text import percent
from resnet_cifar.runs.record import Record

_SIZE = (1200, 440)
_FINE = 2  # drawn so much larger, and then shrunk: Pillow's lines have hard edges
_INK, _FAINT, _TRAIN, _VAL, _TOP5 = "#1e293b", "#cbd5e1", "#94a3b8", "#0d9488", "#d97706"

Line = tuple[str, str, Sequence[tuple[float, float]]]
"""Its name, its colour and its points."""


def sketch(record: Record) -> Image.Image:
    """The curves of a run, side by side."""
    width, height = _SIZE
    image = Image.new("RGB", (width * _FINE, height * _FINE), "white")
    panel = width // 2
    _Panel(image, 0, panel, "loss", _losses(record), "{:.2f}".format).draw()
    _Panel(image, panel, panel, "accuracy", _accuracies(record), percent).draw()
    return image.resize(_SIZE, Image.Resampling.LANCZOS)


def _losses(record: Record) -> list[Line]:
    along, said = Along(record, "step"), record.said
    train = [(along.at(step), step.loss) for step in said.steps]
    val = [(along.at(ended), ended.val.loss) for ended in said.epochs if ended.val]
    return [("train", _TRAIN, train), ("val", _VAL, val)]


def _accuracies(record: Record) -> list[Line]:
    along, epochs = Along(record, "step"), record.said.epochs
    train = [(along.at(ended), ended.train_top1) for ended in epochs]
    val = [(along.at(ended), ended.val.top1) for ended in epochs if ended.val]
    top5 = [(along.at(ended), ended.val.top5) for ended in epochs if ended.val]
    return [("train", _TRAIN, train), ("val", _VAL, val), ("val top-5", _TOP5, top5)]


class _Panel:
    """One pair of axes."""

    def __init__(
        self, image: Image.Image, left: int, width: int, title: str, lines: Sequence[Line], text: Callable[[float], str]
    ) -> None:
        self._draw = ImageDraw.Draw(image)
        self._font = ImageFont.load_default(13 * _FINE)
        self._title = title
        self._lines = [line for line in lines if line[2]]
        self._text = text
        self._box = [edge * _FINE for edge in (left + 76, 48, left + width - 20, _SIZE[1] - 44)]
        points = [point for _, _, points in self._lines for point in points] or [(0.0, 0.0)]
        self._far = max(x for x, _ in points) or 1
        self._low, self._high = min(y for _, y in points), max(y for _, y in points)
        if self._high == self._low:
            self._high = self._low + 1

    def draw(self) -> None:
        """Axes, lines, and what they are called."""
        left, top, right, bottom = self._box
        for part in (0.0, 0.5, 1.0):
            y = bottom + part * (top - bottom)
            self._draw.line((left, y, right, y), fill=_FAINT, width=_FINE)
            value = self._text(self._low + part * (self._high - self._low))
            self._write(left - 8 * _FINE, y, value, _INK, "rm")
        self._write((left + right) / 2, bottom + 24 * _FINE, f"{self._far:,.0f} steps", _INK, "mm")
        self._write(left, 22 * _FINE, self._title, _INK, "lm")
        at = float(right)
        for name, colour, points in reversed(self._lines):
            self._draw.line([self._place(point) for point in points], fill=colour, width=2 * _FINE, joint="curve")
            self._write(at, 22 * _FINE, name, colour, "rm")
            at -= self._draw.textlength(name, self._font) + 16 * _FINE

    def _place(self, point: tuple[float, float]) -> tuple[float, float]:
        left, top, right, bottom = self._box
        x, y = point
        share = (y - self._low) / (self._high - self._low)
        return left + x / self._far * (right - left), bottom + share * (top - bottom)

    def _write(self, x: float, y: float, text: str, colour: str, anchor: str) -> None:
        self._draw.text((x, y), text, fill=colour, font=self._font, anchor=anchor)
