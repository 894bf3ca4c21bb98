"""Runs that wait until the device is free. The queue is on disk, so it survives the process that filled it.

A queued run is a run's folder with `queued.json`. Every process with a queue over the same folder tries to start the
oldest one; the locks decide which process does, and the others leave the run as it is. While no such process lives,
the queue waits.
"""

import json
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from resnet_cifar import decode
from resnet_cifar.decode import Bounds, Place
from resnet_cifar.errors import Busy, UserError
from resnet_cifar.events import LONGEST_REASON, RunFailed
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system import files
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.preflight import check_request

_LARGEST = 100_000  # bytes of `queued.json`
_LATEST = 1e11  # Unix time
_PAUSE = 1.0  # seconds between two tries to start the next run


@dataclass(frozen=True)
class _Request:
    """Content of `queued.json`: what the start needs beside the recipe."""

    data_dir: Place | None
    processes: Annotated[int, Bounds(1, 1024)]
    time: Annotated[float, Bounds(0, _LATEST)]
    """Unix time at which the run was queued."""


class Queue:
    """The queue of a launcher's folder and device."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(
        self, recipe: Recipe, data_dir: Path | None, processes: int = 1, *, name: str = "", notes: str = ""
    ) -> RunDir:
        """Queue a new run. Raises UserError if the name is taken, or for a run that would fail later."""
        check_request(recipe, data_dir, processes)
        run = self._launcher.create(recipe, name, notes)
        self._put(run, data_dir, processes)
        return run

    def resume(self, run: RunDir) -> None:
        """Resume a run that ended early, or queue it if another run uses the device.

        Raises UserError if the run is completed.
        """
        processes = self._launcher.processes_to_resume(run)
        if self._launcher.at_work() is None:
            self._launcher.resume(run)
        elif run.holder() is None:
            self._put(run, None, processes)

    def _put(self, run: RunDir, data_dir: Path | None, processes: int) -> None:
        last = max(map(_queued_at, self.waiting()), default=0.0)
        now = min(_LATEST, max(time.time(), last + 0.001))  # the clock may have been set back
        request = _Request(str(data_dir) if data_dir else None, processes, now)
        files.write_text(run.queued_file, json.dumps(asdict(request), indent=2) + "\n")
        self.attend()

    def waiting(self) -> list[RunDir]:
        """Return the queued runs, the next one first."""
        runs = [RunDir(file.parent) for file in self._launcher.root.glob("*/queued.json")]
        return sorted((run for run in runs if run.holder() is None), key=lambda run: (_queued_at(run), run.name))

    def attend(self) -> None:
        """Start the queued runs one after the other, in a thread that ends with the queue."""
        with self._lock:
            if self._thread is None and self.waiting():
                self._thread = threading.Thread(target=self._empty, name="queue", daemon=True)
                self._thread.start()

    def _empty(self) -> None:
        while True:
            with self._lock:
                if not self.waiting():
                    self._thread = None
                    return
            with suppress(Exception):  # whatever it is, the next try may succeed, and the queue must not end with it
                self.start_next()
            time.sleep(_PAUSE)

    def start_next(self) -> None:
        """Start the oldest queued run if the device is free. One that cannot start fails, and the next one is tried."""
        for run in self.waiting():
            try:
                self._start(run)
            except Busy:
                return
            except UserError as error:
                _fail(run, error)
            else:
                return

    def _start(self, run: RunDir) -> None:
        request = _read(run)
        data_dir = Path(request.data_dir) if request.data_dir else None
        with self._launcher.locked_devices(request.processes, run.handle) as device_locks:
            if run.last_event() is None:  # a resumed run no longer needs its initial weights
                check_request(run.recipe(), data_dir, request.processes)
            self._launcher.spawn(run, data_dir, device_locks, request.processes, queued=True)


def _read(run: RunDir) -> _Request:
    try:
        text = files.read_text(run.queued_file, _LARGEST)
        return decode.build(_Request, decode.parse(text, "its content"), "its content")
    except FileNotFoundError as error:
        raise Busy(f"run {run.name!r} has left the queue.") from error
    except OSError as error:
        raise files.cannot_read(run.queued_file, error) from error
    except UserError as error:
        raise UserError(f"{run.queued_file} can't be used: {error}") from error


def _queued_at(run: RunDir) -> float:
    try:
        return _read(run).time
    except UserError:
        return 0.0  # it is the next one, and fails with the reason


def _fail(run: RunDir, error: UserError) -> None:
    """Take a run that cannot start off the queue, and record why."""
    with suppress(UserError), run.locked():  # UserError: another process starts it, or has deleted it
        if run.queued_file.exists():
            run.append(RunFailed(reason=str(error)[:LONGEST_REASON], user_error=True))
            files.remove(run.queued_file)
