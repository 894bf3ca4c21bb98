"""A run on disk, `checkpoints/<run>/`, and what can be read off it; `metrics.jsonl` is the only truth.

Who writes into the folder holds its lock. The kernel frees the lock when its holder dies, so that whether a run is
running is never a matter of what some file says.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from resnet_cifar import events
from resnet_cifar.errors import UserError
from resnet_cifar.paths import CHECKPOINTS
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.limits import check_name
from resnet_cifar.runs import locks
from resnet_cifar.system import files

Status = Literal["running", "completed", "stopped", "failed", "interrupted"]

_ENDS: dict[type, Status] = {
    events.RunCompleted: "completed",
    events.RunStopped: "stopped",
    events.RunFailed: "failed",
}
_TAIL = 16_384  # bytes; more than the longest event


def locate(run: str) -> Path:
    """The folder of a run: a name under `checkpoints/`, or a path where `run` has a slash."""
    if not run.strip() or run in (".", ".."):
        raise UserError(f"{run!r} is no name for a run; use letters, digits, dashes or a path.")
    return Path(os.path.expanduser(run)).resolve() if os.sep in run else CHECKPOINTS / run


class RunDir:
    """One run's folder. Making the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe_file = path / "recipe.json"
        self.metrics_file = path / "metrics.jsonl"
        self.eval_file = path / "eval.json"
        self.last_file = path / "last.safetensors"
        self.stop_file = path / "stop"
        self._lock_file = path / ".lock"

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return self.path.name

    @property
    def handle(self) -> str:
        """What `locate` finds the run by: its name, or its path where it lies elsewhere."""
        return self.name if self.path.parent == CHECKPOINTS else str(self.path)

    @classmethod
    def create(cls, path: Path, recipe: Recipe) -> "RunDir":
        """Make the folder of a new run. Raises UserError where there is one, or where it can't be made."""
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            raise UserError(
                f"{path} exists already and is never overwritten; choose another name, or --resume {cls(path).handle}."
            ) from error
        except OSError as error:
            raise UserError(f"cannot make the folder {path}: {error.strerror}; choose another place.") from error
        run = cls(path)
        try:
            files.write_text(run.recipe_file, recipe.to_json())
        except UserError:
            path.rmdir()  # half a run would only stand in the way
            raise
        return run

    @classmethod
    def create_numbered(cls, recipe: Recipe, root: Path | None = None) -> "RunDir":
        """Make the folder of a new run, in `root` or with the others: its recipe's name and the first free number."""
        number = 1
        while True:
            path = (root or CHECKPOINTS) / f"{recipe.name}-{number}"
            try:
                return cls.create(path, recipe)
            except UserError:
                if not path.exists():
                    raise
            number += 1

    @classmethod
    def open(cls, path: Path) -> "RunDir":
        """The run that is there. Raises UserError where none is."""
        run = cls(path)
        if not run.recipe_file.is_file():
            there = sorted(recipe.parent.name for recipe in path.parent.glob("*/recipe.json"))
            known = f"runs there: {', '.join(there)}" if there else "there are no runs there yet"
            raise UserError(f"there is no run {path.name!r} in {path.parent}; {known}.")
        return run

    def recipe(self) -> Recipe:
        """What the run was asked to do."""
        try:
            return Recipe.from_json(self.recipe_file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, UserError) as error:
            raise UserError(f"{self.recipe_file} can't be used: {error}") from error

    @contextmanager
    def locked(self, pid: int | None = None, inherited: Sequence[int] = ()) -> Iterator[int]:
        """Be the only one who writes here; the lock's descriptor. Raises UserError where somebody else is.

        `pid`, of the process that trains, and `inherited`: see `locks.locked`.
        """
        with ExitStack() as stack:
            try:
                lock = stack.enter_context(locks.locked(self._lock_file, self.handle, pid, inherited))
            except locks.Held as error:
                raise UserError(
                    f"run {self.name!r} is being trained by another process; stop that one first."
                ) from error
            except OSError as error:
                raise files.cannot_write(self._lock_file, error) from error
            files.sweep(self.path)
            yield lock

    def holder(self) -> locks.Holder | None:
        """Who trains the run at the moment, if anybody."""
        return locks.holder(self._lock_file)

    def rename(self, name: str) -> "RunDir":
        """The same run by another name. Raises UserError where it is being trained, or the name is no good or taken."""
        check_name("run", name)
        target = self.path.with_name(name)
        with self.locked():
            if target.exists():
                raise UserError(f"there is a run {name!r} already; choose another name.")
            with _writing(target):
                self.path.rename(target)
        return RunDir(target)

    def delete(self) -> None:
        """Remove the run with all that it holds. Raises UserError where it is being trained."""
        with self.locked(), _writing(self.path):
            if self.path.is_symlink():
                self.path.unlink()
            else:
                shutil.rmtree(self.path)

    def save_results(self, summary: dict[str, Any]) -> None:
        """Write the test results as `eval.json`. Numbers that are not finite become null, which JSON can hold."""
        text = json.dumps(events.without_nan(summary), indent=2, allow_nan=False)
        files.write_text(self.eval_file, text + "\n")

    def results(self) -> dict[str, Any] | None:
        """Read the test results; null is read as nan. None before the run is tested."""
        try:
            text = self.eval_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return json.loads(text, object_hook=_with_nan)

    def append(self, event: events.Event) -> None:
        """Write down one more event."""
        line = events.to_json(event, round(time.time(), 3)) + "\n"
        with _writing(self.metrics_file), open(self.metrics_file, "ab+") as metrics:
            if metrics.tell() and (metrics.seek(-1, os.SEEK_END), metrics.read())[1] != b"\n":
                line = "\n" + line  # the line before was torn
            metrics.write(line.encode())

    def flush(self) -> int:
        """See to it that all events are on disk; how many bytes they are."""
        with _writing(self.metrics_file), open(self.metrics_file, "ab") as metrics:
            os.fsync(metrics.fileno())
            return metrics.tell()

    def cut(self, size: int) -> None:
        """Forget the events after the first `size` bytes: what they tell of was not saved and will be done again."""
        with _writing(self.metrics_file), open(self.metrics_file, "ab") as metrics:
            metrics.truncate(min(size, metrics.tell()))

    def history(self) -> Iterator[tuple[events.Event, float]]:
        """Each event with its time (seconds since the epoch of the clock). A torn line is passed over."""
        if self.metrics_file.exists():
            with open(self.metrics_file, encoding="utf-8", errors="replace") as metrics:
                yield from _parse(metrics)

    def last_event(self) -> events.Event | None:
        """The newest whole event."""
        if not self.metrics_file.exists():
            return None
        with open(self.metrics_file, "rb") as metrics:
            metrics.seek(max(0, metrics.seek(0, os.SEEK_END) - _TAIL))
            tail = metrics.read().decode(errors="replace").splitlines()
        return next((event for event, _ in _parse(reversed(tail))), None)

    def status(self) -> Status:
        """What has become of the run. One that has not said a word can be begun as if it had been stopped."""
        if self.holder() is not None:
            return "running"
        last = self.last_event()
        return _ENDS.get(type(last), "interrupted") if last else "stopped"


def _with_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in values.items()}


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.cannot_write(file, error) from error


def _parse(lines: Iterator[str]) -> Iterator[tuple[events.Event, float]]:
    for line in lines:
        try:
            yield events.from_json(line)
        except ValueError:
            continue
