"""The lines of one run in a figure."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from resnet_cifar.events import EpochEnded
from resnet_cifar.report.series import By, XAxis, smooth, thin
from resnet_cifar.report.styles import BEST, STYLES, colour_of
from resnet_cifar.report.text import percent
from resnet_cifar.runs.record import Record

LOSS, ACCURACY, RATE, SPEED = range(1, 5)


class Lines:
    """Adds the lines of one run to a figure.

    A line's `meta` is `<run>/<kind>/<panel>/<variant>`, by which the page groups, hides and names them.
    """

    def __init__(self, chart: go.Figure, record: Record, by: By, unit: float, panels: Sequence[int]) -> None:
        self._chart = chart
        self._record = record
        self._by: By = by
        self._axis = XAxis(record, by)
        self._unit = unit  # what one unit of the x axis is, in steps, epochs or seconds
        self._colour = colour_of(record.run)
        self._panels = panels
        self._in_legend = False
        self.kinds: set[str] = set()
        """Kinds of lines that were drawn."""

    def draw(self, smoothing: float, alone: bool, line: float | None) -> None:
        """Draw everything. `line`: height of a horizontal line that the label of the best epoch must not cover."""
        steps, epochs = list(self._record.events.steps), list(self._record.events.epochs)
        at_epochs = self._positions(self._axis.epochs(), len(epochs))
        if self._by == "epoch":
            self._line(LOSS, "train", at_epochs, [ended.train_loss for ended in epochs])
            self._line(SPEED, "train", at_epochs, [ended.images_per_second for ended in epochs])
            self._line(RATE, "train", at_epochs, [ended.lr for ended in epochs])
        else:
            at_steps = self._positions(self._axis.steps(), len(steps))
            self._smoothed(LOSS, "train", at_steps, [step.loss for step in steps], smoothing)
            self._smoothed(SPEED, "train", at_steps, [step.images_per_second for step in steps], smoothing)
            self._line(RATE, "train", at_steps, [step.lr for step in steps])
        self._line(ACCURACY, "train", at_epochs, [ended.train_top1 for ended in epochs])
        for kind, name in (("val", "val"), ("EMA val", "ema_val")):
            metrics = [getattr(ended, name) for ended in epochs]
            self._line(LOSS, kind, at_epochs, [one and one.loss for one in metrics])
            self._line(ACCURACY, kind, at_epochs, [one and one.top1 for one in metrics])
            self._line(ACCURACY, f"{kind} top-5", at_epochs, [one and one.top5 for one in metrics])
        if ACCURACY in self._panels:
            self._mark_best(at_epochs, epochs, alone, line)

    def _positions(self, positions: Sequence[float], count: int) -> np.ndarray:
        return np.array(positions[:count], dtype=float) / self._unit

    def _smoothed(self, panel: int, kind: str, x: np.ndarray, y: list[Any], smoothing: float) -> None:
        if smoothing and len(x) > 2:
            self._line(panel, kind, x, y, opacity=0.25, variant="raw")
            y = list(smooth(np.array(y, dtype=float), smoothing))
        self._line(panel, kind, x, y)

    def _line(self, panel: int, kind: str, x: np.ndarray, y: list[Any], variant: str = "", **more: Any) -> None:
        values = np.array([math.nan if value is None else value for value in y], dtype=np.float32)
        drawn = np.isfinite(values)  # nan would hide the peaks from `thin`
        if panel not in self._panels or not drawn.any():
            return
        x, values = thin(x[drawn], values[drawn])
        if panel in (LOSS, ACCURACY):
            self.kinds.add(kind)
        self._chart.add_scatter(
            x=x.astype(np.float32 if self._by == "time" else np.int32),
            y=values,
            mode="lines+markers" if len(x) < 3 else "lines",
            line={"color": self._colour, **STYLES[kind]},
            hoverinfo="skip" if variant else "none",  # the page draws its own label
            xaxis=axis("x", panel),
            yaxis=axis("y", panel),
            **self._identity(f"{kind}/{panel}/{variant}"),
            **self._legend(not variant),
            **more,
        )

    def _identity(self, line: str) -> dict[str, str]:
        """Identify a line, so that plotly.js updates it in place; `uid` must be usable in a CSS selector."""
        name = f"{self._record.run.name}/{line}"
        return {"meta": name, "uid": hashlib.blake2s(name.encode(), digest_size=8).hexdigest()}

    def _legend(self, wanted: bool) -> dict[str, Any]:
        """Give the run one entry in the legend."""
        first = wanted and not self._in_legend
        self._in_legend |= first
        name = self._record.run.name
        return {"name": name, "legendgroup": name, "showlegend": first}

    def _mark_best(self, x: np.ndarray, epochs: list[EpochEnded], alone: bool, line: float | None) -> None:
        best = self._record.best()
        if best is None:
            return
        epoch, top1 = best
        above = line is None or not 0 < line - top1 < LABEL_HEIGHT
        side = "left" if 2 * epoch >= len(epochs) - 1 else "right"
        self.kinds.add(BEST)
        self._chart.add_scatter(
            x=[x[epoch]],
            y=[top1],
            mode="markers+text" if alone else "markers",
            marker={"symbol": "star", "size": 13, "color": self._colour},
            text=[f"best {percent(top1)}"],
            textposition=f"{'top' if above else 'bottom'} {side}",
            cliponaxis=False,
            hoverinfo="skip",
            xaxis=axis("x", ACCURACY),
            yaxis=axis("y", ACCURACY),
            **self._identity(f"{BEST}/{ACCURACY}/"),
            **self._legend(wanted=False),
        )


LABEL_HEIGHT = 0.12
"""Height that a label and the line above it cover, as a fraction of accuracy."""


def axis(letter: str, panel: int) -> str:
    """Return plotly's name of a panel's axis."""
    return letter if panel == LOSS else f"{letter}{panel}"
