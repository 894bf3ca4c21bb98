"""The Curves tab: loss and accuracy of the ticked runs, what differs between them, all runs, and a page for each."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.report import figures
from resnet_cifar.report.series import By, as_csv, visible_size
from resnet_cifar.report.styles import colour_of
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.ui.chart import chart
from resnet_cifar.ui.clock import Clock
from resnet_cifar.ui.curves.comparison import compared, comparison_table
from resnet_cifar.ui.curves.notes_form import noted, notes_form
from resnet_cifar.ui.curves.rows import Rows
from resnet_cifar.ui.curves.run_page import described, run_page
from resnet_cifar.ui.curves.runs import runs_table
from resnet_cifar.ui.curves.view import MOST_SHOWN, View, names_of, view_bar
from resnet_cifar.ui.options import QUIET
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.shown import Part, changed, stamps


def curves_tab(records: Records, rights: Rights, clock: Clock) -> None:
    """Build the tab: axes, plot, differences, the table of runs, and the page of a run."""
    rows = Rows(records)
    with gr.Column(elem_classes="curves-tab"):
        view = view_bar()
        plot = _plot(records)
        page = run_page()
        form, saved = notes_form(records, rights)
        table, changes = runs_table(rows, rights)
        differences = comparison_table()
        has = stamps()
    parts = [plot, table, differences, page, form, has]
    events: list[Callable[..., Any]] = [view.input, saved.then, *(one.then for one in changes)]
    for event in events:
        event(partial(update, rows, rights), [view, has], parts, **QUIET)
    clock.tick(partial(update, rows, rights, look=False), [view, has], parts)


def _plot(records: Records) -> gr.HTML:
    def numbers(names: Any) -> str:
        """Return the values of the shown runs as CSV."""
        return as_csv(_found(records, names_of(names)[:MOST_SHOWN]))

    return chart("curves", "No run selected: tick one in the table, or start one in the Train tab.", numbers)


def update(rows: Rows, rights: Rights, view: Any, has: Any, *, look: bool = True) -> list[Any]:
    """Return plot, table, differences, page, notes, and stamps of them. Whatever the browser already has is skipped.

    look: look at the folder even if another page has just done so.
    """
    asked, records = View.of(view), rows.records
    rows.look(fresh=look)
    shown = _found(records, (asked.open,) if asked.open else rows.default() if asked.shown is None else asked.shown)
    axes = (asked.by, asked.smoothing, asked.log_loss)
    drawn = tuple((record.run.name, visible_size(record), colour_of(record.run)) for record in shown)
    compare = asked.open is None
    parts: list[Part] = [
        ((axes, drawn), lambda: _figure(tuple(shown), *axes, drawn)),
        ((rows.version, rights.change), lambda: rows.listing(rights)),
        ((compare, [(name, colour) for name, _, colour in drawn]), lambda: compared(shown) if compare else ""),
    ]
    page = described(records, rights, asked.open) if asked.open else ""
    notes = noted(records, rights, asked.open) if asked.open else None
    parts += [(page, lambda: page), (notes, lambda: notes)]
    return changed(has, parts)


@lru_cache(maxsize=8)
def _figure(records: Sequence[Record], by: By, smoothing: float, log_loss: bool, _drawn: Any) -> str | None:
    """Create the figure as JSON; cached, because all open pages ask for it."""
    with ExitStack() as stack:
        for record in sorted(records, key=lambda one: one.run.name):  # in one order, or two pages wait for each other
            stack.enter_context(record.lock)
        figure = figures.figure(records, by, smoothing, log_loss=log_loss)
        return figure.to_json(remove_uids=False) if records else None


def _found(records: Records, names: Sequence[str]) -> list[Record]:
    """Return the named runs that still exist."""
    found = []
    for name in names:
        try:
            found.append(records.get(name))
        except UserError:
            continue
    return found
