"""`/runs` and `/run` for programs; `/classify` stands with its tab."""

import dataclasses
from typing import Any

from gradio.events import api

from resnet_cifar.errors import UserError
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.status import state
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights


def endpoints(records: Records, rights: Rights) -> None:
    """Offer where runs stand, to be asked as often as a program likes."""

    def runs() -> list[dict[str, Any]]:
        """Where each run stands, the newest first."""
        return all_runs(records, rights)

    def run(name: str) -> dict[str, Any]:
        """Where one run stands, and its latest epoch in full."""
        return one_run(records, rights, name)

    api(runs, api_name="runs", queue=False)
    api(run, api_name="run", queue=False)


def all_runs(records: Records, rights: Rights) -> list[dict[str, Any]]:
    """The state of each run; of one that can't be read, its name."""
    told = []
    for name in records.names():
        try:
            told.append(rights.discreet(state(records.get(name))).as_json())
        except UserError:
            told.append({"name": name, "status": "unreadable"})
    return told


def one_run(records: Records, rights: Rights, name: str) -> dict[str, Any]:
    """A run's state and latest epoch. Refuses a name that no run has."""
    try:
        record = records.get(name)
    except UserError as error:
        raise refuse(rights.without(records.root, error)) from error
    epochs = record.events.epochs
    return rights.discreet(state(record)).as_json() | {
        "latest_epoch": dataclasses.asdict(epochs[-1]) if epochs else None
    }
