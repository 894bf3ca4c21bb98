"""The tab of curves: how runs went and go, laid over one another, and the table of all runs."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import gradio as gr
import plotly

from resnet_cifar.errors import UserError
from resnet_cifar.report import figures
from resnet_cifar.report.figures import PALETTE
from resnet_cifar.report.series import By, as_csv
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.ui.curves.runs import default_runs, rows, runs_table
from resnet_cifar.ui.options import QUIET
from resnet_cifar.ui.rights import Rights

PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

_TEMPLATE = """
<div class="curves card">
  <p class="none" hidden>No run to show: tick one below, or start one in the Train tab.</p>
  <div class="drawn">
    <div class="tools"><button class="whole">Whole run</button><button class="png">PNG</button>
      <button class="csv">CSV</button></div>
    <div class="plot"></div>
  </div>
</div>
"""


def curves_tab(records: Records, rights: Rights, timer: gr.Timer) -> None:
    """The plot, how to look at it, and which runs are in it."""
    shown, drawn = gr.State(None), gr.State(None)
    plot = _plot(records)
    with gr.Row(elem_classes="options"):
        by = gr.Radio(["step", "epoch"], value="step", label="Along", info="values as logged, or an epoch's means")
        smoothing = gr.Slider(0, 0.98, value=0, step=0.02, label="Smoothing", info="of what is logged by step")
    table = runs_table(records, rights, shown)
    looks = [by.change, smoothing.change, shown.change, timer.tick]
    gr.on(looks, partial(look, records, rights), [shown, by, smoothing, drawn], [plot, table, drawn], **QUIET)


def _plot(records: Records) -> gr.HTML:
    def numbers(names: list[str]) -> str:
        """What is drawn, as CSV."""
        return as_csv(_found(records, list(dict.fromkeys(map(str, names)))[: len(PALETTE)]))

    return gr.HTML(
        html_template=_TEMPLATE,
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        head=f'<script src="/gradio_api/file={PLOTLY_JS}"></script>',
        server_functions=[numbers],
        apply_default_css=False,
        elem_id="curves",
    )


def look(
    records: Records, rights: Rights, shown: list[str] | None, by: By, smoothing: float, drawn: Any
) -> tuple[Any, Any, Any]:
    """The plot and the table as they are now, each only if it changed, and what they were drawn from."""
    names = default_runs(records) if shown is None else shown
    found = _found(records, names)
    of_plot = (by, smoothing, tuple((record.run.name, record.size) for record in found))
    of_table: dict[str, Any] = {
        "value": rows(records, rights, [record.run.name for record in found]),
        "changeable": rights.change,
    }
    plot_before, table_before = drawn or (None, None)
    plot = gr.skip() if of_plot == plot_before else _figure(tuple(found), *of_plot)
    table = gr.skip() if of_table == table_before else gr.update(**of_table)
    return plot, table, (of_plot, of_table)


@lru_cache(maxsize=8)
def _figure(records: Sequence[Record], by: By, smoothing: float, _sizes: Any) -> str | None:
    """A figure as JSON; drawn once however many pages look at it."""
    with ExitStack() as stack:
        for record in records:
            stack.enter_context(record.lock)
        return figures.figure(records, by, smoothing).to_json(remove_uids=False) if records else None


def _found(records: Records, names: Sequence[str]) -> list[Record]:
    """Those of the named runs that are still there."""
    found = []
    for name in names:
        try:
            found.append(records.get(name))
        except UserError:
            continue
    return found
