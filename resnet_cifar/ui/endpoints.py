"""`/runs` and `/run` for programs; `/classify` stands with its tab."""

import dataclasses
from typing import Any

from gradio.events import api

from resnet_cifar.errors import UserError
from resnet_cifar.record import Records
from resnet_cifar.state import state
from resnet_cifar.ui.refusals import refuse


def endpoints(records: Records) -> None:
    """Offer where runs stand, to be asked as often as a program likes."""

    def runs() -> list[dict[str, Any]]:
        """Where each run stands, the newest first."""
        return all_runs(records)

    def run(name: str) -> dict[str, Any]:
        """Where one run stands, and its latest epoch in full."""
        return one_run(records, name)

    api(runs, api_name="runs", queue=False)
    api(run, api_name="run", queue=False)


def all_runs(records: Records) -> list[dict[str, Any]]:
    """The state of each run; of one that can't be read, its name and why."""
    told = []
    for name in records.names():
        try:
            told.append(state(records.get(name)).as_json())
        except UserError as error:
            told.append({"name": name, "status": "unreadable", "reason": str(error)})
    return told


def one_run(records: Records, name: str) -> dict[str, Any]:
    """A run's state and latest epoch. Refuses a name that no run has."""
    try:
        record = records.get(name)
    except UserError as error:
        raise refuse(error) from error
    epochs = record.said.epochs
    return state(record).as_json() | {"latest_epoch": dataclasses.asdict(epochs[-1]) if epochs else None}
