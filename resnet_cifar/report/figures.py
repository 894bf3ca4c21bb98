"""Plotly figures of the curves of runs, to be displayed by the page.

Up to four panels, in one column or two by two as the width allows: loss, accuracy, learning rate, images per second.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from resnet_cifar.events import EpochEnded
from resnet_cifar.report.lines import ACCURACY, LOSS, RATE, SPEED, Lines, axis
from resnet_cifar.report.series import By, XAxis
from resnet_cifar.report.styles import BEST, STYLES, kinds_of
from resnet_cifar.report.text import percent
from resnet_cifar.runs.record import Record, val_top1

TUTORIAL_TOP1 = 0.6954
"""Test top-1 of the tutorial that this project started from."""
ALL_PANELS = (LOSS, ACCURACY, RATE, SPEED)
MAIN_PANELS = (LOSS, ACCURACY)
_TITLES = {LOSS: "Loss", ACCURACY: "Accuracy", RATE: "Learning rate", SPEED: "Images per second"}
_KEY_COLOUR = "#8290a5"
_ROOM = 1.08  # height of the accuracy axis, as a multiple of the highest value
_STRETCH = 1.25  # the tutorial's line may make the axis this much higher, no more
_LETTER = 0.016  # width of a letter of a stage's name, as a fraction of the axis
_LONG = 2  # hours or minutes, from which on an axis of time has them as its unit
_LAYOUT: dict[str, Any] = {
    "hovermode": "x",
    "hoverdistance": -1,
    "legend": {"orientation": "h", "groupclick": "togglegroup"},
    "legend2": {"orientation": "h"},
    "margin": {"l": 56, "r": 16, "t": 36, "b": 44},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "uirevision": "legend",
    "template": "none",
}
_LABELS = {"automargin": True, "ticklabeloverflow": "allow"}  # a quarter of the drawing was to look for what overflows


def figure(
    records: Sequence[Record],
    by: By = "step",
    smoothing: float = 0.0,
    panels: Sequence[int] = ALL_PANELS,
    log_loss: bool = False,
) -> go.Figure:
    """Draw the curves of runs over one another. A single run also shows its stages, as bands.

    `by`: "step" and "time" draw every logged value of training, "epoch" the mean of each epoch. `smoothing`: weight of
    the past, 0 to 1, in a moving average of the logged values. `panels`: MAIN_PANELS for loss and accuracy only.
    `log_loss`: a logarithmic axis for the loss.
    """
    title, unit = _x_axis(records, by)
    alone = len(records) == 1
    top = _ROOM * max((_highest(ended) for record in records for ended in record.events.epochs), default=1.0)
    tutorial = TUTORIAL_TOP1 if ACCURACY in panels and top * _STRETCH >= _ROOM * TUTORIAL_TOP1 else None
    height = min(1.0, max(top, _ROOM * (tutorial or 0)))
    bands = _bands(records[0], by, unit, panels) if alone else ()
    layout = {
        **_LAYOUT,
        **_axes(title, panels, height, log_loss),
        "shapes": [*bands, *([_TUTORIAL_LINE] if tutorial else ())],
        "annotations": [_title(panel, _TITLES[panel] + " (log)" * (log_loss and panel == LOSS)) for panel in panels],
    }
    chart = go.Figure(layout=layout)  # at once: to update its layout takes three times as long
    kinds: set[str] = set()
    for record in records:
        lines = Lines(chart, record, by, unit, panels)
        lines.draw(smoothing, alone, tutorial)
        kinds |= lines.kinds
    _add_key(chart, kinds_of(list(kinds)))
    return chart


def _x_axis(records: Sequence[Record], by: By) -> tuple[str, float]:
    """Return the title of the x axis, and what one unit of it is: a step, an epoch, or a number of seconds."""
    if by != "time":
        return by, 1.0
    longest = max((end for record in records for end in XAxis(record, by).steps()[-1:]), default=0.0)
    for title, seconds in (("hours", 3600.0), ("minutes", 60.0)):
        if longest >= _LONG * seconds:
            return title, seconds
    return "seconds", 1.0


def _highest(ended: EpochEnded) -> float:
    """Return the highest accuracy of an epoch that is drawn."""
    return max(ended.train_top1, val_top1(ended) or 0.0, *(one.top5 for one in (ended.val, ended.ema_val) if one), 0.0)


def _add_key(chart: go.Figure, kinds: Sequence[str]) -> None:
    """Add the second legend, which says what each style of line means; its lines have no points."""
    for kind in kinds:
        look: dict[str, Any] = {"mode": "lines", "line": {"color": _KEY_COLOUR, **STYLES.get(kind, {})}}
        if kind == BEST:
            look = {"mode": "markers", "marker": {"symbol": "star", "size": 11, "color": _KEY_COLOUR}}
        chart.add_scatter(x=[None], y=[None], name=kind, legend="legend2", showlegend=True, hoverinfo="skip", **look)


def _bands(record: Record, by: By, unit: float, panels: Sequence[int]) -> Iterator[dict[str, Any]]:
    stages = list(XAxis(record, by).stages())
    for number, (name, start, end) in enumerate(stages):
        fits = len(stages) > 1 and end - start >= _LETTER * len(name) * stages[-1][2]
        for panel in panels:
            yield {
                "type": "rect",
                "xref": axis("x", panel),
                "yref": f"{axis('y', panel)} domain",
                "x0": start / unit,
                "x1": end / unit,
                "y0": 0,
                "y1": 1,
                "line": {"width": 0},
                "fillcolor": "rgba(13,148,136,0.10)" if number % 2 else "rgba(100,116,139,0.08)",
                "layer": "below",
                "label": {
                    "text": name if fits and panel in MAIN_PANELS else "",
                    "textposition": "top left",
                    "font": {"size": 11},
                },
            }


_TUTORIAL_LINE = {
    "type": "line",
    "xref": "x2 domain",
    "yref": "y2",
    "x0": 0,
    "x1": 1,
    "y0": TUTORIAL_TOP1,
    "y1": TUTORIAL_TOP1,
    "line": {"color": _KEY_COLOUR, "width": 1.2, "dash": "dot"},
    "label": {
        "text": f"the original tutorial: {percent(TUTORIAL_TOP1)}",
        "textposition": "end",  # where curves are above it
        "yanchor": "top",
        "font": {"size": 11},
    },
}


def _title(panel: int, text: str) -> dict[str, Any]:
    return {
        "text": f"<b>{text}</b>",
        "xref": f"{axis('x', panel)} domain",
        "yref": f"{axis('y', panel)} domain",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 4,
        "showarrow": False,
    }


def _axes(title: str, panels: Sequence[int], height: float, log_loss: bool) -> dict[str, Any]:
    """Lay out the axes. All panels share one x axis; its zoom is kept until the unit changes.

    `height`: end of the axis of accuracy.
    """
    axes: dict[str, Any] = {}
    for panel in panels:
        axes[f"xaxis{panel}".removesuffix("1")] = {
            "anchor": axis("y", panel),
            "matches": None if panel == panels[0] else axis("x", panels[0]),
            "title": {"text": title, "standoff": 6, "font": {"size": 12}},
            "uirevision": title,
            "rangemode": "tozero",
            **_LABELS,
        }
        axes[f"yaxis{panel}".removesuffix("1")] = {
            "anchor": axis("x", panel),
            "uirevision": title,
            "rangemode": "tozero" if panel != LOSS else "normal",
            **_LABELS,
        }
    if ACCURACY in panels:
        axes["yaxis2"] |= {"tickformat": ".0%", "range": [0, height]}
    if log_loss and LOSS in panels:
        axes["yaxis"] |= {"type": "log", "uirevision": f"{title}, log"}
    return axes
