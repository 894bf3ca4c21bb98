"""Plotly figures of the Inspect tab, as JSON. The page adds fonts and the colours of light and dark."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from resnet_cifar.engine.calibration import Reliability

_TEAL = "#0d9488"
_HEAT = [[0, "rgba(13,148,136,0)"], [0.02, "rgba(13,148,136,0.22)"], [0.5, "#0d9488"], [0.8, "#d97706"], [1, "#e11d48"]]
_LINE = {"color": "rgba(130,144,165,0.28)", "width": 1}
_CLEAR = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "showlegend": False,
    "hovermode": "closest",
}


def reliability_figure(bins: Reliability) -> str:
    """Draw how often the model is right at each confidence, and where a calibrated one would be."""
    shown = [place for place, images in enumerate(bins.images) if images]
    width = 1 / len(bins.images)
    middles = [(place + 0.5) * width for place in shown]
    right = [bins.accuracy[place] for place in shown]
    chart = go.Figure()
    chart.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": "#8290a5", "dash": "dash", "width": 1.5}, hoverinfo="skip"
    )
    chart.add_bar(
        x=middles,
        y=right,
        width=[0.9 * width] * len(shown),
        marker={"color": _TEAL, "opacity": [0.35 + 0.65 * _weight(bins.images[place], bins.images) for place in shown]},
        customdata=[[bins.images[place], bins.confidence[place]] for place in shown],
        hovertemplate="%{customdata[0]:,} images with a mean confidence of %{customdata[1]:.1%}<br>"
        "%{y:.1%} of them right<extra></extra>",
    )
    percent = {"range": [0, 1], "tickformat": ".0%", "dtick": 0.2, "fixedrange": True}
    chart.update_layout(
        **_CLEAR,
        margin={"l": 52, "r": 24, "t": 12, "b": 44},
        xaxis={**percent, "title": {"text": "confidence", "standoff": 8}},
        yaxis={**percent, "title": {"text": "right", "standoff": 8}},
    )
    return _json(chart)


def _weight(images: int, of: Sequence[int]) -> float:
    return math.log1p(images) / math.log1p(max(of))


def confusion_figure(counts: Sequence[Sequence[int]], names: Sequence[str], groups: Sequence[str] = ()) -> str:
    """Draw a matrix of counts, true class by predicted class, without its diagonal, with colours on a log scale.

    groups: superclass of each name, all of one together; without them, each name has its own tick.
    """
    size = len(names)
    levels = [
        [None if row == column or not n else math.log10(n) for column, n in enumerate(line)]
        for row, line in enumerate(counts)
    ]
    highest = max((level for line in levels for level in line if level is not None), default=0.0)
    chart = go.Figure()
    chart.add_heatmap(
        z=levels,
        x=list(names),
        y=list(names),
        customdata=[list(line) for line in counts],
        colorscale=_HEAT,
        zmin=-0.05,
        zmax=max(1.0, highest),
        xgap=0.5 if size <= 30 else 0,
        ygap=0.5 if size <= 30 else 0,
        hovertemplate="%{y}, taken for %{x}:<br>%{customdata:,} images<extra></extra>",
        colorbar=_colorbar(highest),
    )
    chart.update_layout(**_CLEAR, **_grid(_spans(groups or names), size))
    return _json(chart)


def _grid(spans: Sequence[tuple[str, int, int]], size: int) -> dict[str, Any]:
    """Lay out the axes: a tick for each group, lines between groups, and the diagonal."""
    axis: dict[str, Any] = {
        "tickvals": [(first + last) / 2 for _, first, last in spans],
        "ticktext": [name for name, _, _ in spans],
        "constrain": "domain",
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
    }
    low, high = -0.5, size - 0.5
    lines = [
        {"type": "line", f"{one}0": first - 0.5, f"{one}1": first - 0.5, f"{other}0": low, f"{other}1": high}
        for _, first, _ in spans[1:]
        for one, other in (("x", "y"), ("y", "x"))
    ]
    diagonal = {"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "line": {**_LINE, "dash": "dot"}}
    return {
        "margin": {"l": 190, "r": 8, "t": 8, "b": 170},
        "xaxis": {**axis, "tickangle": -90, "title": {"text": "predicted", "standoff": 12}, "range": [low, high]},
        "yaxis": {**axis, "title": {"text": "true", "standoff": 12}, "range": [high, low], "scaleanchor": "x"},
        "shapes": [*({**line, "line": _LINE} for line in lines), diagonal],
        "uirevision": f"{size}",
    }


def _colorbar(highest: float) -> dict[str, Any]:
    ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if math.log10(n) <= max(1.0, highest)]
    return {
        "tickvals": [math.log10(n) for n in ticks],
        "ticktext": [str(n) for n in ticks],
        "thickness": 10,
        "len": 0.5,
        "y": 1,
        "yanchor": "top",
        "outlinewidth": 0,
        "title": {"text": "images", "side": "top"},
    }


def _spans(groups: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return each group with the places of its first and last name."""
    spans: list[tuple[str, int, int]] = []
    for place, group in enumerate(groups):
        if spans and spans[-1][0] == group:
            spans[-1] = (group, spans[-1][1], place)
        else:
            spans.append((group, place, place))
    return spans


def _json(chart: go.Figure) -> str:
    text: str = chart.to_json(remove_uids=True)
    return text
