"""The curve of a learning-rate range test as a plotly figure."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

_CURVE, _DOTS = "#0d9488", "#8290a5"
_TICKS = {1e-5: "10⁻⁵", 1e-4: "10⁻⁴", 1e-3: "0.001", 1e-2: "0.01", 0.1: "0.1", 1: "1", 10: "10"}
_ROOM = 0.15  # of the height of the curve, above and below it


def rate_figure(
    lrs: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float,
    limit: tuple[float, str],
) -> go.Figure:
    """Draw the loss by learning rate; mark the suggested rate, and the `limit` that it comes from, with its name."""
    chart = go.Figure()
    chart.add_scatter(x=lrs, y=losses, mode="markers", marker={"color": _DOTS, "size": 4}, hoverinfo="skip")
    reading = "%{x:.2g}: loss %{y:.3f}<extra></extra>"
    chart.add_scatter(x=lrs, y=smoothed, mode="lines", line={"color": _CURVE, "width": 2.5}, hovertemplate=reading)
    _mark(chart, suggestion, f"<b>suggested {suggestion:g}</b>", "solid", y=1.0)
    _mark(chart, *limit, "dot", y=0.0)
    chart.update_layout(
        margin={"l": 52, "r": 16, "t": 28, "b": 44},
        height=280,
        showlegend=False,
        hovermode="x",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis={
            "type": "log",
            "title": {"text": "learning rate"},
            "tickangle": 0,
            "tickvals": list(_TICKS),
            "ticktext": list(_TICKS.values()),
        },
        yaxis={"title": {"text": "loss"}, "range": _range(smoothed)},
    )
    return chart


def _mark(chart: go.Figure, rate: float, words: str, dash: str, y: float) -> None:
    """Draw a vertical line with words to its left: above the plot at `y` 1, at its bottom at 0."""
    line = {"color": _CURVE if dash == "solid" else _DOTS, "width": 2, "dash": dash}
    chart.add_shape(type="line", x0=rate, x1=rate, y0=0, y1=1, yref="paper", line=line)
    place: dict[str, Any] = {"x": math.log10(rate), "y": y, "yref": "paper", "yanchor": "bottom", "xanchor": "right"}
    chart.add_annotation(text=words, showarrow=False, **place)


def _range(smoothed: Sequence[float]) -> list[float]:
    """Return the range of the axis: that of the smoothed loss, because single batches can be far off."""
    room = _ROOM * (max(smoothed) - min(smoothed)) or 1.0
    return [min(smoothed) - room, max(smoothed) + room]
