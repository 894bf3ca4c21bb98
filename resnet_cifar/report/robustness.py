"""Robustness as small multiples: a plotly figure of each corruption, all with the same axes; and as a table."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from resnet_cifar.report.styles import PALETTE
from resnet_cifar.report.text import percent, table


def robustness_figures(
    clean: float, top1: Mapping[str, Sequence[float]], colour: str = PALETTE[0]
) -> dict[str, go.Figure]:
    """Draw top-1 by strength, one figure for each corruption, from the clean images at 0 to the strongest."""
    return {name: _figure(clean, values, colour) for name, values in top1.items()}


def _figure(clean: float, top1: Sequence[float], colour: str) -> go.Figure:
    chart = go.Figure()
    chart.add_scatter(
        x=[0, len(top1)],
        y=[clean, clean],
        mode="lines",
        line={"color": "#8290a5", "width": 1.2, "dash": "dot"},
        hoverinfo="skip",
    )
    chart.add_scatter(
        x=list(range(len(top1) + 1)),
        y=[clean, *top1],
        mode="lines+markers",
        line={"color": colour, "width": 2.4},
        marker={"size": 7, "color": colour},
        customdata=["clean images", *(f"strength {number}" for number in range(1, len(top1) + 1))],
        hovertemplate="%{customdata}: %{y:.1%}<extra></extra>",
    )
    chart.update_layout(
        xaxis={
            "range": [-0.3, len(top1) + 0.3],
            "tickvals": list(range(len(top1) + 1)),
            "ticktext": ["clean", *map(str, range(1, len(top1) + 1))],
            "fixedrange": True,
            "title": {"text": "strength", "standoff": 4},
        },
        yaxis={"range": [0, 1], "tickformat": ".0%", "dtick": 0.25, "fixedrange": True},
        margin={"l": 44, "r": 10, "t": 8, "b": 38},
        showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return chart


def robustness_table(top1: Mapping[str, Sequence[float]]) -> str:
    """Format top-1 of each corruption at each strength, and the mean of each corruption."""
    strengths = len(next(iter(top1.values())))
    columns = ("top-1 at strength", *map(str, range(1, strengths + 1)), "mean")
    rows = [(name, *map(percent, values), percent(sum(values) / len(values))) for name, values in top1.items()]
    return table(columns, rows)
