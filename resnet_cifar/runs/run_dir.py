"""RunDir: a run's folder, `checkpoints/<run>/`, with its recipe, metrics, results and lock.

A run's status is never stored. It is derived from the last event in `metrics.jsonl` and from the lock, which every
writer holds and which the kernel frees when its holder dies.
"""

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from resnet_cifar import events
from resnet_cifar.errors import Busy, UserError
from resnet_cifar.paths import CHECKPOINTS, absolute, check_path
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.limits import check_name
from resnet_cifar.runs import locks
from resnet_cifar.runs.notes import Notes, free_colour, write_notes
from resnet_cifar.system import files

Status = Literal["running", "queued", "completed", "stopped", "failed", "interrupted"]

_ENDS: dict[type, Status] = {
    events.RunCompleted: "completed",
    events.RunStopped: "stopped",
    events.RunFailed: "failed",
}
_BEGINNINGS = (events.RunStarted, events.RunResumed)
LARGEST_METRICS = 256 * 10**6
"""Most bytes of `metrics.jsonl` that are read: over a million events."""
LARGEST_RECIPE = 8 * 10**6
"""Most bytes of `recipe.json`; a recipe for a person's own images lists their classes."""
_NAME_LENGTH = 64  # characters, the most that `check_name` allows


def locate(run: str) -> Path:
    """Return the folder of a run, given its name (under `checkpoints/`) or, if `run` has a slash, its path."""
    if not run.strip() or run in (".", ".."):
        raise UserError(f"{run!r} is not a valid name for a run; use letters, digits and dashes, or a path.")
    check_path(run)
    return absolute(run) if os.sep in run else CHECKPOINTS / run


class RunDir:
    """The folder of one run. Creating the object does not touch the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe_file = path / "recipe.json"
        self.metrics_file = path / "metrics.jsonl"
        self.eval_file = path / "eval.json"
        self.last_file = path / "last.safetensors"
        self.stop_file = path / "stop"
        self.queued_file = path / "queued.json"
        self._lock_file = path / ".lock"

    @property
    def name(self) -> str:
        """Name of the run, which is the name of its folder."""
        return self.path.name

    @property
    def handle(self) -> str:
        """Name or path by which `locate` finds the run: its name if it is in `checkpoints/`, else its path."""
        return self.name if self.path.parent == CHECKPOINTS else str(self.path)

    @classmethod
    def create(cls, path: Path, recipe: Recipe, notes: str = "") -> "RunDir":
        """Create the folder of a new run. It gets a colour that no other run beside it has.

        Raises UserError if the path's last part is not a valid name, the folder exists or it cannot be created.
        """
        check_name("run", path.name)
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            raise UserError(
                f"{path} already exists and is never overwritten; choose another name, or --resume {cls(path).handle}."
            ) from error
        except OSError as error:
            raise UserError(f"cannot create the folder {path}: {error.strerror}; choose another place.") from error
        run = cls(path)
        try:
            colour = free_colour(file.parent for file in path.parent.glob("*/recipe.json"))
            files.write_text(run.recipe_file, recipe.to_json())
            write_notes(path, Notes(text=notes, colour=colour))
        except UserError:
            shutil.rmtree(path, ignore_errors=True)  # an incomplete run would only block the name
            raise
        return run

    @classmethod
    def create_numbered(cls, recipe: Recipe, root: Path | None = None, notes: str = "") -> "RunDir":
        """Create the folder of a new run in `root` (default: `checkpoints/`), named after its recipe, with a number."""
        number = 1
        while True:
            suffix = f"-{number}"
            path = (root or CHECKPOINTS) / (recipe.name[: _NAME_LENGTH - len(suffix)] + suffix)
            try:
                return cls.create(path, recipe, notes)
            except UserError:
                if not path.exists():
                    raise
            number += 1

    @classmethod
    def open(cls, path: Path) -> "RunDir":
        """Return the existing run in `path`. Raises UserError if there is none."""
        run = cls(path)
        if not os.path.lexists(run.recipe_file):
            there = sorted(recipe.parent.name for recipe in path.parent.glob("*/recipe.json"))
            known = f"it contains: {', '.join(there)}" if there else "it contains no runs yet"
            raise UserError(f"there is no run {path.name!r} in {path.parent}; {known}.")
        return run

    def recipe(self) -> Recipe:
        """Read the run's recipe. Raises UserError if it cannot be read."""
        try:
            return Recipe.from_json(files.read_text(self.recipe_file, LARGEST_RECIPE))
        except OSError as error:
            raise files.cannot_read(self.recipe_file, error) from error
        except UserError as error:
            raise UserError(f"{self.recipe_file} can't be used: {error}") from error

    @contextmanager
    def locked(self, pid: int | None = None, inherited: Sequence[int] = ()) -> Iterator[int]:
        """Hold the run's lock, which every writer needs; yields its file descriptor.

        `pid` and `inherited`: see `locks.locked`. Raises Busy if another process holds the lock.
        """
        with ExitStack() as stack:
            try:
                lock = stack.enter_context(locks.locked(self._lock_file, self.handle, pid, inherited))
            except locks.Held as error:
                raise Busy(f"run {self.name!r} is being trained by another process; stop that one first.") from error
            except OSError as error:
                raise files.cannot_write(self._lock_file, error) from error
            files.sweep(self.path)
            if os.path.lexists(self.last_file) and isinstance(self.last_event(), events.RunCompleted):
                files.remove(self.last_file)  # killed before it could do so itself
            yield lock

    def holder(self) -> locks.Holder | None:
        """Return the current holder of the lock, or None."""
        return locks.holder(self._lock_file)

    def rename(self, name: str) -> "RunDir":
        """Rename the run. Raises UserError if it is in use, or the name is not valid or already taken."""
        check_name("run", name)
        target = self.path.with_name(name)
        with self.locked():
            if target.exists():
                raise UserError(f"there is already a run {name!r}; choose another name.")
            with _writing(target):
                self.path.rename(target)
        return RunDir(target)

    def delete(self) -> None:
        """Delete the folder and everything in it. Raises UserError if the run is in use."""
        with self.locked(), _writing(self.path):
            files.remove_at_once(self.path)

    def save_results(self, summary: dict[str, Any]) -> None:
        """Write the test results as `eval.json`. Numbers that are not finite become null, which JSON can hold."""
        text = json.dumps(events.without_nan(summary), indent=2, allow_nan=False)
        files.write_text(self.eval_file, text + "\n")

    def append(self, event: events.Event) -> None:
        """Append an event to `metrics.jsonl`, with the current time."""
        self.append_line(events.to_json(event, round(time.time(), 3)))

    def append_line(self, line: str) -> None:
        """Append an event that is already written as a line."""
        line += "\n"
        with _writing(self.metrics_file), open(self.metrics_file, "ab+") as metrics:
            if metrics.tell() and (metrics.seek(-1, os.SEEK_END), metrics.read())[1] != b"\n":
                line = "\n" + line  # the previous line is torn
            metrics.write(line.encode())

    def flush(self) -> int:
        """Flush all events to disk. Returns the size of `metrics.jsonl` in bytes."""
        with _writing(self.metrics_file), open(self.metrics_file, "ab") as metrics:
            os.fsync(metrics.fileno())
            return metrics.tell()

    def cut(self, size: int) -> None:
        """Truncate `metrics.jsonl` to `size` bytes: later events report work that was not saved and is repeated."""
        with _writing(self.metrics_file), open(self.metrics_file, "ab") as metrics:
            metrics.truncate(min(size, metrics.tell()))

    def history(self) -> Iterator[tuple[events.Event, float]]:
        """Yield each event with its Unix time. Lines that are not an event are skipped.

        Raises UserError if the file is there and cannot be read.
        """
        try:
            metrics = files.read_bytes(self.metrics_file, LARGEST_METRICS)
        except FileNotFoundError:
            return
        except OSError as error:
            raise files.cannot_read(self.metrics_file, error) from error
        yield from _parse(metrics.split(b"\n"))

    def last_event(self) -> events.Event | None:
        """Return the last event, skipping a torn last line; None if there is none that can be read."""
        try:
            tail = files.read_bytes(self.metrics_file, LARGEST_METRICS, start=-events.LONGEST_LINE)
        except OSError:
            return None
        return next((event for event, _ in _parse(reversed(tail.split(b"\n")))), None)

    def data_dir(self) -> Path | None:
        """Return the folder of the data that the run used last."""
        begun = [event.data_dir for event, _ in self.history() if isinstance(event, _BEGINNINGS)]
        return Path(begun[-1]) if begun and begun[-1] else None

    def status(self) -> Status:
        """Derive the status. A run without events counts as stopped, unless it is queued: it can be resumed."""
        if self.holder() is not None:
            return "running"
        if self.queued_file.exists():
            return "queued"
        last = self.last_event()
        return _ENDS.get(type(last), "interrupted") if last else "stopped"


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.cannot_write(file, error) from error


def _parse(lines: Iterable[bytes]) -> Iterator[tuple[events.Event, float]]:
    for line in lines:
        try:
            yield events.from_json(line.decode(errors="replace"))
        except ValueError:
            continue
