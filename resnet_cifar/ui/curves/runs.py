"""The table of runs, which shows, opens, renames and deletes them."""

import json
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from resnet_cifar.errors import UserError
from resnet_cifar.hub.catalog import SHIPPED, fixed_runs
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.rented import check_deletable
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.ui.curves.rows import COLUMNS, Rows
from resnet_cifar.ui.curves.view import MOST_SHOWN, names_of
from resnet_cifar.ui.options import CHANGES
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights

# Constants go into the template: Gradio forgets a component's props if an event skips it before its tab is opened.
_TEMPLATE = f"""
<div class="runs card" data-columns="{escape(json.dumps(COLUMNS))}" data-most="{MOST_SHOWN}">
<p class="none" hidden>There are no runs yet.</p>
<div class="all">
<div class="find"><h2>Runs</h2><input type="search" placeholder="Filter by name, recipe, tag or status"
aria-label="Filter runs by name, recipe, tag or status"><span class="count" role="status"></span></div>
<div class="scroll" tabindex="0" role="region" aria-label="Table of runs"><table><caption class="unseen">Runs</caption>
<thead></thead><tbody></tbody></table></div>
<nav class="pages" aria-label="Pages of the table" hidden><button type="button">Previous</button><span></span>
<button type="button">Next</button></nav></div>
<dialog aria-labelledby="runs-question"><form method="dialog"><h3 id="runs-question"></h3><p></p>
<div class="field"></div><div class="answers"></div></form></dialog>
</div>
"""


def runs_table(rows: Rows, rights: Rights) -> tuple[gr.HTML, list[Dependency]]:
    """Create the table, and the events that change runs. Its value comes from `Rows.listing`.

    It tells the view bar which runs are ticked or opened.
    """
    records = rows.records

    def rows_of(names: Any) -> list[dict[str, Any]]:
        """Return the rows of these runs."""
        return rows.rows(names_of(names), rights)

    table = gr.HTML(
        html_template=_TEMPLATE,
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        apply_default_css=False,
        server_functions=[rows_of],
        elem_id="runs",
    )

    def renamed(event: gr.EventData) -> None:
        rename(records, rights, event.name, event.to)

    def deleted(event: gr.EventData) -> None:
        delete(records, rights, event.name)

    each: dict[str, Any] = {"trigger_mode": "multiple", **CHANGES}  # or the second of two quick ones would be lost
    return table, [table.edit(renamed, None, None, **each), table.delete(deleted, None, None, **each)]


def rename(records: Records, rights: Rights, name: str, to: str) -> None:
    """Rename a run."""
    rights.need()
    try:
        if to in fixed_runs():
            raise UserError(f"{to} is the name of {_whose(to)}; choose another name.")
        changeable(records, name).rename(to)
    except UserError as error:
        raise refuse(error) from error


def delete(records: Records, rights: Rights, name: str) -> None:
    """Delete a run permanently; the table has asked."""
    rights.need()
    try:
        run = changeable(records, name)
        check_deletable(run)
        run.delete()
    except UserError as error:
        raise refuse(error) from error


def changeable(records: Records, name: str) -> RunDir:
    """Return a run that may be changed. Raises UserError if it is one of `fixed_runs`, or does not exist."""
    if name in fixed_runs():
        raise UserError(f"{name} is {_whose(name)}, and cannot be changed.")
    if name not in records.names():
        raise UserError(f"there is no run {name!r} any more.")
    return RunDir(records.root / name)


def _whose(name: str) -> str:
    return "the model that ships with the project" if name == SHIPPED else "the run that this Space was deployed with"
