"""Starts and stops runs as separate processes, which outlive the process that started them.

A run's locks are taken before its process is started, and passed to it: from then on the run counts as running, and
a second start is refused.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch

from resnet_cifar.errors import Busy, UserError
from resnet_cifar.events import ENDS, RunCompleted, RunResumed, RunStarted
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.limits import check_name
from resnet_cifar.runs.locks import Holder, device_file, holder, sign
from resnet_cifar.runs.rented import is_rented
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import count, identity
from resnet_cifar.system.files import read_bytes, remove, write_text
from resnet_cifar.system.niceness import NICENESS
from resnet_cifar.training.failures import failure_of_process
from resnet_cifar.training.preflight import check, using
from resnet_cifar.training.process import kill_process, start_process

LOG = "train.log"

_LARGEST_LOG = 10**9  # bytes
_GRACE = 30.0  # seconds between asking a run to stop and killing it; a step on a CPU can take several


class Launcher:
    """Starts runs in the folder `root` on `device`, and stops any run in it."""

    def __init__(self, root: Path, device: torch.device) -> None:
        self.root = root
        self.device = device
        self._stopping: set[int] = set()
        """Process ids of runs that were asked to stop and have not ended."""

    def start(
        self, recipe: Recipe, data_dir: Path | None, processes: int = 1, *, name: str = "", notes: str = ""
    ) -> RunDir:
        """Start a new run. With GPUs, each of its processes has its own.

        `name`: without one, the run is named after its recipe. Raises UserError if the name is taken, a device is in
        use, or for a run that would fail later.
        """
        check(recipe, data_dir, self.device, processes)
        with self.locked_devices(processes, note="") as device_locks:  # it has no name yet
            run = self.create(recipe, name, notes)
            self.spawn(run, data_dir, device_locks, processes)
        return run

    def create(self, recipe: Recipe, name: str = "", notes: str = "") -> RunDir:
        """Create the folder of a new run, named after its recipe unless it gets a name."""
        if not name:
            return RunDir.create_numbered(recipe, self.root, notes)
        check_name("run", name)  # before it becomes a path
        return RunDir.create(self.root / name, recipe, notes)

    def resume(self, run: RunDir, data_dir: Path | None = None) -> None:
        """Resume a run that ended early, with as many processes as before, if there are devices for them.

        Raises UserError if a device is in use or the run is completed.
        """
        processes = self.processes_to_resume(run)
        if is_rented(run):
            raise UserError(f"run {run.name!r} trains on rented hardware, and needs a login to be resumed.")
        with self.locked_devices(processes, run.handle) as device_locks:
            self.spawn(run, data_dir, device_locks, processes)

    def processes_to_resume(self, run: RunDir) -> int:
        """Return how many processes will resume a run. Raises UserError if it is completed."""
        if isinstance(run.last_event(), RunCompleted):
            raise UserError(f"run {run.name!r} is completed; there is nothing left to resume.")
        return min(_processes(run), count(self.device))

    def stop(self, run: RunDir) -> None:
        """Ask a run to save and end. After a grace period it is killed and loses its work since the last save.

        A queued run leaves the queue.
        """
        if run.queued_file.exists():
            with suppress(Busy), run.locked():  # Busy: it starts at this moment
                remove(run.queued_file)
                return
        held = run.holder()
        if held is None or held.pid in self._stopping:
            return
        if held.pid is None:
            write_text(run.stop_file, "")  # no process to signal: it may train in another container
            return
        try:
            os.kill(held.pid, signal.SIGTERM)  # only the leader: it stops its workers itself
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise UserError(f"run {run.name!r} belongs to another user; only that user can stop it.") from error
        self._stopping.add(held.pid)  # a second signal would end it without saving
        threading.Thread(target=self._kill_if_stuck, args=(run, held), daemon=True).start()

    def at_work(self) -> str | None:
        """Return the run that uses the device, by name or path; None if the device is free."""
        held = holder(device_file(identity(self.device)))
        return held.note if held else None

    def is_stopping(self, run: RunDir) -> bool:
        """Return whether a run that is still running was asked to stop."""
        held = run.holder()
        return held is not None and held.pid in self._stopping

    @contextmanager
    def locked_devices(self, processes: int, note: str) -> Iterator[tuple[int, ...]]:
        """Hold the locks of as many devices as there are processes, and yield their descriptors."""
        gpus = [torch.device("cuda", index) for index in range(processes)]
        devices = gpus if self.device.type == "cuda" and processes > 1 else [self.device]
        with ExitStack() as stack:
            yield tuple(stack.enter_context(using(device, note)) for device in devices)

    def _kill_if_stuck(self, run: RunDir, held: Holder) -> None:
        """Wait for a run that was asked to stop, and kill it after the grace period."""
        deadline = time.monotonic() + _GRACE
        while run.holder() == held and time.monotonic() < deadline:
            time.sleep(0.1)
        if run.holder() == held:
            kill_process(held.pid or 0)
        while run.holder() == held:
            time.sleep(0.1)
        time.sleep(1)  # the lock is free before the process has ended, and `_report_end` still needs to know
        self._stopping.discard(held.pid or 0)

    def spawn(
        self, run: RunDir, data_dir: Path | None, device_locks: tuple[int, ...], processes: int, *, queued: bool = False
    ) -> None:
        """Start a run's process, and pass it the locks of its devices and of the run.

        `queued`: only if the run is still in the queue, which it leaves.
        """
        arguments = ["--device", self.device.type, *(["--data-dir", str(data_dir)] if data_dir else [])]
        self._spawn(run, arguments, device_locks, processes, queued)

    def watch(self, run: RunDir, token: str) -> None:
        """Start the process that follows a run on rented hardware; it logs in with `token`, and needs no device."""
        self._spawn(run, [], (), 1, queued=False, token=token)

    def _spawn(
        self,
        run: RunDir,
        arguments: list[str],
        device_locks: tuple[int, ...],
        processes: int,
        queued: bool,
        token: str | None = None,
    ) -> None:
        before, log = _metrics_stamp(run), run.path / LOG
        log_size = log.stat().st_size if log.exists() else 0
        with run.locked() as run_lock:
            if queued and not run.queued_file.exists():
                return
            locks = (*device_locks, run_lock)
            # Several processes inherit no locks: `torchrun` holds them, and its workers recognize it as their parent.
            inherited = ["--inherited-locks", *(map(str, locks) if processes == 1 else ())]
            command = ["--train-only", "--resume", str(run.path), *arguments, *inherited]
            try:
                child = start_process(command, processes, log, locks, token)
            except OSError as error:
                raise UserError(f"cannot start the training process: {error}.") from error
            remove(run.queued_file)
            for lock in locks:  # signed here, so that the run can be stopped before its process has imported torch
                sign(lock, child.pid, run.handle)
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)
        threading.Thread(target=self._report_end, args=(run, child, before, log_size), daemon=True).start()

    def _report_end(self, run: RunDir, child: subprocess.Popen[bytes], before: tuple[int, int], log_size: int) -> None:
        """Wait for a run's process to end; if it did not report why, append a RunFailed event that does.

        `before`, `log_size`: state of its events and size of its log before the process was started.
        """
        code = child.wait()
        reported = isinstance(run.last_event(), ENDS) and _metrics_stamp(run) != before
        if reported or child.pid in self._stopping or code == -signal.SIGTERM:
            return
        with suppress(UserError, OSError), run.locked():  # Busy: the run has been resumed meanwhile
            run.append(failure_of_process(read_bytes(run.path / LOG, _LARGEST_LOG, log_size), code))


def log_tail(run: RunDir, lines: int = 12) -> str | None:
    """Return the last lines that a run's process printed; None if no launcher started it."""
    try:
        tail = read_bytes(run.path / LOG, _LARGEST_LOG, start=-200 * lines)
    except OSError:
        return None
    return "\n".join(tail.decode(errors="replace").splitlines()[-lines:])


def _processes(run: RunDir) -> int:
    """Return the number of processes that trained a run most recently."""
    counts = [event.processes for event, _ in run.history() if isinstance(event, RunStarted | RunResumed)]
    return counts[-1] if counts else 1


def _metrics_stamp(run: RunDir) -> tuple[int, int]:
    """Return size and modification time of a run's events, which change with each event."""
    with suppress(FileNotFoundError):
        stat = run.metrics_file.stat()
        return stat.st_size, stat.st_mtime_ns
    return 0, 0
