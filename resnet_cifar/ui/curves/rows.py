"""Rows of the table of runs, remembered until files change: every open page asks for all of them each second."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnet_cifar.errors import UserError
from resnet_cifar.hub.catalog import fixed_runs
from resnet_cifar.recipe.diff import summary
from resnet_cifar.report.styles import colour_of
from resnet_cifar.report.text import duration, percent
from resnet_cifar.runs.notes import NOTES, Notes, read_notes
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import State, state
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.shared import Shared

COLUMNS = {
    "name": "Run",
    "status": "Status",
    "best": "Best val",
    "test": "Test",
    "recipe": "Recipe",
    "epochs": "Epochs",
    "time": "Time",
}
"""Columns that are always there; those of recipe fields that differ follow the recipe."""
_FIRST = ("Learning rate", "Batch size", "Image size", "Augmentation", "Train images", "Seed", "Architecture")
_LEFT_OUT = {"Epochs", "Steps between log lines", "Weight of the teacher"}  # epochs have a column of their own


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a run, and the stamps of the files from which it was read."""

    stamps: tuple[Any, ...]
    run: RunDir
    notes: Notes
    colour: str
    state: State | None
    facts: dict[str, str]
    fault: str | None
    version: str = field(default_factory=lambda: secrets.token_hex(4))
    """Never one of an earlier process, whose pages may still be open."""


class Rows:
    """The rows of all runs in a folder."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.version = ""
        """Another one as soon as a row has changed."""
        self._known: dict[str, _Known] = {}
        self._shared = Shared(self._look)

    def look(self, fresh: bool = True) -> None:
        """Read the runs that have changed. All pages share one look, unless one needs a fresh one."""
        self._shared.get(fresh)

    def _look(self) -> None:
        known = {name: self._read(name) for name in self.records.names()}
        changed = not self.version or list(map(id, known.values())) != list(map(id, self._known.values()))
        self._known = known
        if changed:
            self.version = secrets.token_hex(4)  # after the rows, or a page could keep the old ones under it

    def default(self) -> list[str]:
        """Return the runs shown at first: those running, or else the newest."""
        running = [name for name, known in self._known.items() if known.state and known.state.status == "running"]
        return running or list(self._known)[:1]

    def listing(self, rights: Rights) -> dict[str, Any]:
        """Return all runs' names and stamps of their rows, the fields that differ, and the runs shown at first.

        A page asks for the rows that it does not have, so that a change of one run costs it one row.
        """
        facts = [known.facts for known in self._known.values() if known.facts]
        differing = [
            word
            for word in (facts[0] if facts else ())
            if word not in _LEFT_OUT and len({one[word] for one in facts}) > 1
        ]
        change = rights.change
        names = [(name, _stamp_of(known, change)) for name, known in self._known.items()]
        return {"columns": differing, "default": self.default(), "names": names}

    def rows(self, names: Sequence[str], rights: Rights) -> list[dict[str, Any]]:
        """Return the rows of these runs, without those that are gone."""
        change, known = rights.change, self._known
        return [_row(name, known[name], rights, change) for name in names if name in known]

    def _read(self, name: str) -> _Known:
        known = self._known.get(name)
        run = known.run if known else RunDir(self.records.root / name)
        files = (run.recipe_file, run.metrics_file, run.queued_file, run.path / NOTES)
        stamps = (*map(_stamp, files), run.holder() is not None)
        if known and known.stamps == stamps:
            return known
        notes, colour = read_notes(run.path), colour_of(run)
        try:
            record = self.records.get(name)
            return _Known(stamps, run, notes, colour, state(record), summary(record.recipe), None)
        except UserError as error:
            return _Known(stamps, run, notes, colour, None, {}, str(error))


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = os.stat(file)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _stamp_of(known: _Known, change: bool) -> str:
    return f"{known.version}{'+' * change}"


def _row(name: str, known: _Known, rights: Rights, change: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "stamp": _stamp_of(known, change),
        "colour": known.colour,
        "tags": known.notes.tags,
        "changeable": change and name not in fixed_runs() and not (known.state and known.state.status == "running"),
    }
    if known.state is None:
        return row | {
            "status": "unreadable",
            "reason": known.fault if change else None,
            "cells": dict.fromkeys(COLUMNS, "-") | {"name": name, "status": "unreadable"},
            "sort": {"name": name, "status": "unreadable"},
        }
    now = rights.discreet(known.state) if not change else known.state
    cells, sort = (known.facts | own for own in (_cells(now), _keys(now)))
    return row | {"status": now.status, "reason": now.reason, "cells": cells, "sort": sort}


def _cells(now: State) -> dict[str, str]:
    return {
        "name": now.name,
        "status": now.status,
        "best": "-" if now.best_val_top1 is None else percent(now.best_val_top1),
        "test": "-" if now.test is None else percent(now.test.top1),
        "epochs": f"{now.epochs_done} / {now.epochs_planned}",
        "time": duration(now.seconds),
        "recipe": now.recipe,
    }


def _keys(now: State) -> dict[str, Any]:
    return {
        "name": now.name,
        "status": now.status,
        "best": now.best_val_top1,
        "test": now.test and now.test.top1,
        "epochs": now.epochs_done,
        "time": round(now.seconds),
        "recipe": now.recipe,
    }
