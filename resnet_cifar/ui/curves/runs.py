"""The table of runs, which shows, renames and deletes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.report.figures import PALETTE
from resnet_cifar.report.text import duration, percent
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import State, state
from resnet_cifar.ui.options import CHANGES, QUIET
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights

_COLUMNS = {
    "name": "Run",
    "recipe": "Recipe",
    "epochs": "Epochs",
    "best": "Best val",
    "test": "Test",
    "time": "Time",
    "status": "Status",
}
_HEADS = "".join(
    f'<th scope="col" data-column="{name}"><button>{text}</button></th>' for name, text in _COLUMNS.items()
)
_TEMPLATE = f"""
<div class="runs card"><p class="none" hidden>There are no runs yet.</p><table><caption>Runs</caption>
<thead><tr><th scope="col">Show</th>{_HEADS}<th scope="col"><span class="unseen">Change</span></th></tr></thead>
<tbody></tbody></table></div>
"""


def runs_table(records: Records, rights: Rights, shown: gr.State) -> gr.HTML:
    """Create the table; the names of the ticked runs go to `shown`."""
    table = gr.HTML(
        html_template=_TEMPLATE,
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="runs",
    )

    def ticked(event: gr.EventData) -> list[str]:
        return [name for name in dict.fromkeys(event.shown) if isinstance(name, str)][-len(PALETTE) :]

    def renamed(shown: list[str] | None, event: gr.EventData) -> list[str] | None:
        return rename(records, rights, shown, event.name, event.to)

    def deleted(shown: list[str] | None, event: gr.EventData) -> list[str] | None:
        return delete(records, rights, shown, event.name)

    table.input(ticked, None, shown, **QUIET)
    table.edit(renamed, shown, shown, **CHANGES)
    table.delete(deleted, shown, shown, **CHANGES)
    return table


def default_runs(records: Records) -> list[str]:
    """Return the runs shown at first: those running, or else the newest."""
    names = records.names()
    running = [name for name in names if RunDir(records.root / name).status() == "running"]
    return running or names[:1]


def rows(records: Records, rights: Rights, shown: Sequence[str]) -> list[dict[str, Any]]:
    """Return the table's rows: what is shown of each run, and its sort keys."""
    return [
        _row(records, rights, name, PALETTE[shown.index(name) % len(PALETTE)] if name in shown else None)
        for name in records.names()
    ]


def _row(records: Records, rights: Rights, name: str, colour: str | None) -> dict[str, Any]:
    try:
        now = rights.discreet(state(records.get(name)))
    except UserError as error:
        blank = dict.fromkeys(_COLUMNS, "-")
        return blank | {
            "name": name,
            "colour": colour,
            "changeable": rights.change,
            "status": "unreadable",
            "reason": str(error) if rights.change else None,
            "sort": {"name": name},
        }
    return {
        "colour": colour,
        "changeable": rights.change and now.status != "running",
        "reason": now.reason,
        **_cells(now),
        "sort": _keys(now),
    }


def _cells(now: State) -> dict[str, str]:
    return {
        "name": now.name,
        "recipe": now.recipe,
        "epochs": f"{now.epochs_done} / {now.epochs_planned}",
        "best": "-" if now.best_val_top1 is None else percent(now.best_val_top1),
        "test": "-" if now.test is None else percent(now.test.top1),
        "time": duration(now.seconds),
        "status": now.status,
    }


def _keys(now: State) -> dict[str, Any]:
    return {
        "name": now.name,
        "recipe": now.recipe,
        "epochs": now.epochs_done,
        "best": now.best_val_top1,
        "test": now.test and now.test.top1,
        "time": now.seconds,
        "status": now.status,
    }


def rename(records: Records, rights: Rights, shown: list[str] | None, name: str, to: str) -> list[str] | None:
    """Rename a run. Returns the names of the shown runs."""
    rights.need()
    try:
        if to == SHIPPED:
            raise UserError(f"{to} is the name of the model that ships with the project; choose another name.")
        _changeable(records, name).rename(to)
    except UserError as error:
        raise refuse(error) from error
    return shown and [to if one == name else one for one in shown]


def delete(records: Records, rights: Rights, shown: list[str] | None, name: str) -> list[str] | None:
    """Delete a run permanently; the table has asked twice. Returns the names of the shown runs."""
    rights.need()
    try:
        _changeable(records, name).delete()
    except UserError as error:
        raise refuse(error) from error
    return shown and [one for one in shown if one != name]


def _changeable(records: Records, name: str) -> RunDir:
    if name == SHIPPED:
        raise UserError(f"{name} ships with the project and cannot be changed.")
    if name not in records.names():
        raise UserError(f"there is no run {name!r} any more.")
    return RunDir(records.root / name)
