"""The Curves tab: loss and accuracy of the selected runs, and the table of all runs."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.report import figures
from resnet_cifar.report.figures import PALETTE
from resnet_cifar.report.series import By, as_csv
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.ui.chart import chart
from resnet_cifar.ui.curves.runs import default_runs, rows, runs_table
from resnet_cifar.ui.options import QUIET
from resnet_cifar.ui.rights import Rights


def curves_tab(records: Records, rights: Rights, timer: gr.Timer) -> gr.State:
    """Build the tab: the plot, its options, and the table that selects runs. Returns the names of the shown runs."""
    shown, sent = gr.State(None), gr.State(None)
    plot = _plot(records)
    with gr.Row(elem_classes="options"):
        by = gr.Radio(["step", "epoch"], value="step", label="X axis", info="step: values as logged; epoch: means")
        smoothing = gr.Slider(0, 0.98, value=0, step=0.02, label="Smoothing", info="of values logged by step")
    table = runs_table(records, rights, shown)
    events = [by.change, smoothing.change, shown.change, timer.tick]
    gr.on(events, partial(update, records, rights), [shown, by, smoothing, sent], [plot, table, sent], **QUIET)
    return shown


def _plot(records: Records) -> gr.HTML:
    def numbers(names: list[str]) -> str:
        """Return the values of the shown runs as CSV."""
        return as_csv(_found(records, list(dict.fromkeys(map(str, names)))[: len(PALETTE)]))

    return chart("curves", "No run selected: tick one below, or start one in the Train tab.", numbers)


def update(
    records: Records, rights: Rights, shown: list[str] | None, by: By, smoothing: float, sent: Any
) -> tuple[Any, Any, Any]:
    """Return plot, table and what they were made from; whatever has not changed since `sent` is skipped."""
    names = default_runs(records) if shown is None else shown
    found = _found(records, names)
    for_plot = (by, smoothing, tuple((record.run.name, record.size) for record in found))
    for_table = rows(records, rights, [record.run.name for record in found])
    plot_before, table_before = sent or (None, None)
    plot = gr.skip() if for_plot == plot_before else _figure(tuple(found), *for_plot)
    table = gr.skip() if for_table == table_before else for_table
    return plot, table, (for_plot, for_table)


@lru_cache(maxsize=8)
def _figure(records: Sequence[Record], by: By, smoothing: float, _sizes: Any) -> str | None:
    """Create the figure as JSON; cached, because all open pages ask for it."""
    with ExitStack() as stack:
        for record in records:
            stack.enter_context(record.lock)
        return figures.figure(records, by, smoothing).to_json(remove_uids=False) if records else None


def _found(records: Records, names: Sequence[str]) -> list[Record]:
    """Return the named runs that still exist."""
    found = []
    for name in names:
        try:
            found.append(records.get(name))
        except UserError:
            continue
    return found
