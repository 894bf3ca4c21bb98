"""The API endpoints `/runs` and `/run`; `/classify` is defined in the Classify tab."""

import dataclasses
from typing import Any

from gradio.events import api

from resnet_cifar.errors import UserError
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.status import state
from resnet_cifar.ui.options import POLLED
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights


def endpoints(records: Records, rights: Rights) -> None:
    """Add the endpoints to the page; they bypass the queue, so they can be polled."""

    def runs() -> list[dict[str, Any]]:
        """List all runs, the newest first: name, recipe, status (as running, completed or failed), how far each is,
        seconds left, loss, and accuracy on val and test as fractions. Takes no arguments.
        """
        return all_runs(records, rights)

    def run(name: str) -> dict[str, Any]:
        """Get the state of one run, as in /runs, with the metrics of its latest epoch.

        name: the run's name, as listed by /runs.
        """
        return one_run(records, rights, name)

    api(runs, api_name="runs", **POLLED)
    api(run, api_name="run", **POLLED)


def all_runs(records: Records, rights: Rights) -> list[dict[str, Any]]:
    """Return the state of each run; for an unreadable run, only its name."""
    states = []
    for name in records.names():
        try:
            states.append(rights.discreet(state(records.get(name))).as_json())
        except UserError:
            states.append({"name": name, "status": "unreadable"})
    return states


def one_run(records: Records, rights: Rights, name: str) -> dict[str, Any]:
    """Return a run's state and latest epoch. Raises a refusal if there is no such run."""
    try:
        record = records.get(name)
    except UserError as error:
        raise refuse(rights.without(records.root, error)) from error
    epochs = record.events.epochs
    return rights.discreet(state(record)).as_json() | {
        "latest_epoch": dataclasses.asdict(epochs[-1]) if epochs else None
    }
