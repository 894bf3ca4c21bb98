"""Plotly figures of the curves of runs, to be displayed by the page.

Up to four panels, in one column or two by two as the width allows: loss, accuracy, learning rate, images per second.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from resnet_cifar.events import EpochEnded
from resnet_cifar.report.series import By, XAxis, smooth, thin
from resnet_cifar.report.text import percent
from resnet_cifar.runs.record import Record, val_top1

TUTORIAL_TOP1 = 0.6954
"""Test top-1 of the tutorial that this project started from."""
PALETTE = ("#0d9488", "#d97706", "#8b5cf6", "#e11d48", "#3b82f6", "#65a30d", "#db2777", "#64748b")
"""Colours of the runs in a plot, in order. Their number limits how many runs can be shown at once."""
_PANELS = ("Loss", "Accuracy", "Learning rate", "Images per second")
_LOSS, _ACCURACY, _RATE, _SPEED = range(1, 5)
ALL_PANELS = (_LOSS, _ACCURACY, _RATE, _SPEED)
MAIN_PANELS = (_LOSS, _ACCURACY)
_COLOURS = {"train": "#94a3b8", "averaged val": "#d97706", "averaged val top-5": "#d97706"}
_DASH = {"val top-5": "dash", "averaged val top-5": "dash"}
_LABEL_HEIGHT = 0.12  # of accuracy, below the tutorial's line, that the line and its label cover
_TUTORIAL_LINE = {
    "type": "line",
    "xref": "x2 domain",
    "yref": "y2",
    "x0": 0,
    "x1": 1,
    "y0": TUTORIAL_TOP1,
    "y1": TUTORIAL_TOP1,
    "line": {"color": "#94a3b8", "width": 1, "dash": "dot"},
    "label": {"text": f"tutorial {percent(TUTORIAL_TOP1)}", "textposition": "end", "font": {"size": 11}},
}


def figure(
    records: Sequence[Record], by: By = "step", smoothing: float = 0.0, panels: Sequence[int] = ALL_PANELS
) -> go.Figure:
    """Draw the curves of runs over one another. A single run also shows its stages, as bands.

    `by`: "step" draws every logged value of training, "epoch" the mean of each epoch. `smoothing`: weight of the past,
    0 to 1, in a moving average of the values that are logged by step. `panels`: MAIN_PANELS for loss and accuracy only.
    """
    chart = go.Figure()
    for number, record in enumerate(records):
        _Lines(chart, record, by, len(records) == 1, PALETTE[number % len(PALETTE)], panels).draw(smoothing)
    chart.update_layout(
        shapes=[*(_bands(records[0], by, panels) if len(records) == 1 else ()), _TUTORIAL_LINE],
        annotations=[_title(panel, _PANELS[panel - 1]) for panel in panels],
        hovermode="x unified",
        legend={"orientation": "h", "groupclick": "togglegroup"},
        margin={"l": 56, "r": 16, "t": 72, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        uirevision="legend",
        **_axes(records, by, panels),
    )
    return chart


class _Lines:
    """Adds the lines of one run to a figure."""

    def __init__(
        self, chart: go.Figure, record: Record, by: By, alone: bool, colour: str, panels: Sequence[int]
    ) -> None:
        self._chart = chart
        self._record = record
        self._by: By = by
        self._axis = XAxis(record, by)
        self._alone = alone
        self._colour = colour
        self._panels = panels
        self._in_legend: set[str] = set()

    def draw(self, smoothing: float) -> None:
        steps, epochs = list(self._record.events.steps), list(self._record.events.epochs)
        at_epochs = np.array([self._axis.position(ended) for ended in epochs])
        if self._by == "step":
            at_steps = np.array([self._axis.position(step) for step in steps])
            self._smoothed(_LOSS, "train", at_steps, [step.loss for step in steps], smoothing)
            self._smoothed(_SPEED, "train", at_steps, [step.images_per_second for step in steps], smoothing)
            self._line(_RATE, "train", at_steps, [step.lr for step in steps])
        else:
            self._line(_LOSS, "train", at_epochs, [ended.train_loss for ended in epochs])
            self._line(_SPEED, "train", at_epochs, [ended.images_per_second for ended in epochs])
            self._line(_RATE, "train", at_epochs, [ended.lr for ended in epochs])
        self._line(_ACCURACY, "train", at_epochs, [ended.train_top1 for ended in epochs])
        for kind, name in (("val", "val"), ("averaged val", "ema_val")):
            metrics = [getattr(ended, name) for ended in epochs]
            self._line(_LOSS, kind, at_epochs, [one and one.loss for one in metrics])
            self._line(_ACCURACY, kind, at_epochs, [one and one.top1 for one in metrics])
            self._line(_ACCURACY, f"{kind} top-5", at_epochs, [one and one.top5 for one in metrics])
        self._mark_best(epochs)

    def _smoothed(self, panel: int, kind: str, x: np.ndarray, y: list[Any], smoothing: float) -> None:
        if smoothing and len(x) > 2:
            self._line(panel, kind, x, y, opacity=0.25, hoverinfo="skip", variant="raw")
            y = list(smooth(np.array(y, dtype=float), smoothing))
        self._line(panel, kind, x, y)

    def _line(self, panel: int, kind: str, x: np.ndarray, y: list[Any], variant: str = "", **more: Any) -> None:
        values = np.array([math.nan if value is None else value for value in y], dtype=np.float32)
        drawn = np.isfinite(values)  # nan would hide the peaks from `thin`
        if panel not in self._panels or not drawn.any():
            return
        x, values = thin(x[drawn], values[drawn])
        form = ".2%" if panel == _ACCURACY else ".4~g"
        colour = _COLOURS.get(kind, self._colour) if self._alone and panel in (_LOSS, _ACCURACY) else self._colour
        style = {"color": colour, "width": 1.5 if kind == "train" else 2.5, "dash": _DASH.get(kind, "solid")}
        self._chart.add_scatter(
            x=x.astype(np.int32),
            y=values,
            mode="lines+markers" if len(x) < 3 else "lines",
            line=style,
            hovertemplate=f"{self._name(kind)} %{{y:{form}}}<extra></extra>",
            xaxis=_axis("x", panel),
            yaxis=_axis("y", panel),
            **self._identity(f"{kind}/{panel}/{variant}"),
            **self._legend(kind, shown=not variant),
            **more,
        )

    def _identity(self, line: str) -> dict[str, str]:
        """Identify a line, so that plotly.js updates it in place; `uid` must be usable in a CSS selector."""
        name = f"{self._record.run.name}/{line}"
        return {"meta": name, "uid": hashlib.blake2s(name.encode(), digest_size=8).hexdigest()}

    def _legend(self, kind: str, shown: bool = True) -> dict[str, Any]:
        """Group lines in the legend: by kind if there is a single run, otherwise by run."""
        group = kind if self._alone else self._record.run.name
        first = shown and group not in self._in_legend
        if first:
            self._in_legend.add(group)
        return {"name": group, "legendgroup": group, "showlegend": first}

    def _name(self, kind: str) -> str:
        return kind if self._alone else f"{self._record.run.name} {kind}"

    def _mark_best(self, epochs: list[EpochEnded]) -> None:
        best = self._record.best()
        if best is None:
            return
        epoch, top1 = best
        above = not 0 < TUTORIAL_TOP1 - top1 < _LABEL_HEIGHT
        side = "left" if 2 * epoch >= len(epochs) - 1 else "right"
        self._chart.add_scatter(
            x=[self._axis.position(epochs[epoch])],
            y=[top1],
            mode="markers+text" if self._alone else "markers",
            marker={"symbol": "star", "size": 13, "color": self._colour},
            text=[f"best {percent(top1)}"],
            textposition=f"{'top' if above else 'bottom'} {side}",
            cliponaxis=False,
            hovertemplate=f"{self._name('best')} {percent(top1)}<extra></extra>",
            xaxis=_axis("x", _ACCURACY),
            yaxis=_axis("y", _ACCURACY),
            **self._identity("best"),
            **self._legend("val"),
        )


def _bands(record: Record, by: By, panels: Sequence[int]) -> Iterator[dict[str, Any]]:
    for number, (name, start, end) in enumerate(XAxis(record, by).stages()):
        for panel in panels:
            yield {
                "type": "rect",
                "xref": _axis("x", panel),
                "yref": f"{_axis('y', panel)} domain",
                "x0": start,
                "x1": end,
                "y0": 0,
                "y1": 1,
                "line": {"width": 0},
                "fillcolor": "rgba(13,148,136,0.10)" if number % 2 else "rgba(100,116,139,0.08)",
                "layer": "below",
                "label": {
                    "text": name if panel in (_LOSS, _ACCURACY) else "",
                    "textposition": "top left",
                    "font": {"size": 11},
                },
            }


def _title(panel: int, text: str) -> dict[str, Any]:
    return {
        "text": f"<b>{text}</b>",
        "xref": f"{_axis('x', panel)} domain",
        "yref": f"{_axis('y', panel)} domain",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 4,
        "showarrow": False,
    }


def _axes(records: Sequence[Record], by: By, panels: Sequence[int]) -> dict[str, Any]:
    """Lay out the axes. All panels share one x axis; its zoom is kept until the unit changes."""
    axes: dict[str, Any] = {}
    for panel in panels:
        axes[f"xaxis{panel}".removesuffix("1")] = {
            "anchor": _axis("y", panel),
            "matches": None if panel == _LOSS else "x",
            "title": {"text": by, "standoff": 6, "font": {"size": 12}},
            "uirevision": by,
            "rangemode": "tozero",
        }
        axes[f"yaxis{panel}".removesuffix("1")] = {
            "anchor": _axis("x", panel),
            "uirevision": by,
            "rangemode": "tozero" if panel != _LOSS else "normal",
        }
    seen = [top1 for record in records for ended in record.events.epochs if (top1 := _highest(ended)) is not None]
    axes["yaxis2"] |= {"tickformat": ".0%", "range": [0, min(1.0, 1.08 * max([TUTORIAL_TOP1, *seen]))]}
    return axes


def _highest(ended: EpochEnded) -> float | None:
    return max((one.top5 for one in (ended.val, ended.ema_val) if one), default=val_top1(ended))


def _axis(letter: str, panel: int) -> str:
    return letter if panel == _LOSS else f"{letter}{panel}"
