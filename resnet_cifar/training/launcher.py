"""Starts and stops runs as processes of their own, which outlive whoever started them.

Its locks are taken before a run's process is started, and handed down to it: from that moment the run counts as
running, and a second start is refused.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch

from resnet_cifar.errors import UserError
from resnet_cifar.events import RunCompleted, RunFailed, RunResumed, RunStarted, RunStopped
from resnet_cifar.paths import SOURCE
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.runs.locks import Holder, sign
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import count
from resnet_cifar.training.preflight import check, using

LOG = "train.log"
PACKAGE = "resnet_cifar"

_NICENESS = 10  # a page on the same cores stays quick
_GRACE = 30.0  # seconds from asking a run to stop to ending it; a step on a CPU can take several
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "AUTH", "KEY", "CREDENTIAL")


class Launcher:
    """Starts runs in the folder `root` on `device`, and stops whatever runs there."""

    def __init__(self, root: Path, device: torch.device) -> None:
        self.root = root
        self.device = device
        self._asked: set[int] = set()

    def start(self, recipe: Recipe, data_dir: Path | None, processes: int = 1) -> RunDir:
        """Begin a new run. Raises UserError where a device is in use or what is asked for can be seen to fail.

        `processes`: that train it together, each on a device of its own where there are GPUs.
        """
        check(recipe, data_dir, self.device, processes)
        with self._using(processes, "a new one") as device_locks:
            run = RunDir.create_numbered(recipe, self.root)
            self._spawn(run, data_dir, device_locks, processes)
        return run

    def resume(self, run: RunDir, data_dir: Path | None = None) -> None:
        """Go on with a run that ended early, on as many devices as before where they are there.

        Raises UserError where a device is in use or the run is completed.
        """
        if isinstance(run.last_event(), RunCompleted):
            raise UserError(f"run {run.name!r} is completed; there is nothing left to resume.")
        processes = min(_processes(run), count(self.device))
        with self._using(processes, run.handle) as device_locks:
            self._spawn(run, data_dir, device_locks, processes)

    def stop(self, run: RunDir) -> None:
        """Ask a run to save and end. If it hasn't after a grace period, it is killed and loses what it did not save."""
        holder = run.holder()
        if holder is None or holder.pid in self._asked:
            return
        if holder.pid is None:
            run.stop_file.touch()  # it trains where no signal of ours goes
            return
        try:
            os.kill(holder.pid, signal.SIGTERM)  # its leader alone: a data worker must not die first
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise UserError(f"run {run.name!r} belongs to another user, who alone can stop it.") from error
        self._asked.add(holder.pid)  # a second signal would end it at once
        threading.Thread(target=self._see_it_end, args=(run, holder), daemon=True).start()

    def is_stopping(self, run: RunDir) -> bool:
        """Whether a run that still goes on was asked to stop."""
        holder = run.holder()
        return holder is not None and holder.pid in self._asked

    @contextmanager
    def _using(self, processes: int, note: str) -> Iterator[tuple[int, ...]]:
        """Keep other runs off as many devices; their locks' descriptors."""
        gpus = [torch.device("cuda", index) for index in range(processes)]
        devices = gpus if self.device.type == "cuda" and processes > 1 else [self.device]
        with ExitStack() as stack:
            yield tuple(stack.enter_context(using(device, note)) for device in devices)

    def _see_it_end(self, run: RunDir, holder: Holder) -> None:
        deadline = time.monotonic() + _GRACE
        while run.holder() == holder and time.monotonic() < deadline:
            time.sleep(0.1)
        if run.holder() == holder:
            _kill(holder.pid or 0)
        while run.holder() == holder:
            time.sleep(0.1)
        time.sleep(1)
        self._asked.discard(holder.pid or 0)

    def _spawn(self, run: RunDir, data_dir: Path | None, device_locks: tuple[int, ...], processes: int) -> None:
        said, log = _stamp(run), run.path / LOG
        printed = log.stat().st_size if log.exists() else 0
        with run.locked() as run_lock:
            arguments = ["--train-only", "--resume", str(run.path), "--device", self.device.type]
            arguments += ["--data-dir", str(data_dir)] if data_dir else []
            locks = (*device_locks, run_lock)
            arguments += ["--inherited-locks", *(map(str, locks) if processes == 1 else ())]
            try:
                child = _start(arguments, processes, log, locks)
            except OSError as error:
                raise UserError(f"the training process can't be started: {error}.") from error
            for lock in locks:
                sign(lock, child.pid, run.handle)
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, child.pid, _NICENESS)
        threading.Thread(target=self._bury, args=(run, child, said, printed), daemon=True).start()

    def _bury(self, run: RunDir, child: subprocess.Popen[bytes], said: tuple[int, int], printed: int) -> None:
        """Wait for a run's process, and say why it ended where it did not do so itself.

        `said` and `printed`: how far its events and its log went before.
        """
        code = child.wait()
        ended = isinstance(run.last_event(), RunCompleted | RunStopped | RunFailed) and _stamp(run) != said
        if ended or child.pid in self._asked or code == -signal.SIGTERM:
            return
        with suppress(UserError), run.locked():
            run.append(_failure((run.path / LOG).read_bytes()[printed:], code))


def log_tail(run: RunDir, lines: int = 12) -> str | None:
    """The last lines that a run's process printed; None where it was not started by a launcher."""
    try:
        with open(run.path / LOG, "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 200 * lines))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return None


def _processes(run: RunDir) -> int:
    """How many trained a run last."""
    begun = [event.processes for event, _ in run.history() if isinstance(event, RunStarted | RunResumed)]
    return begun[-1] if begun else 1


def _start(arguments: list[str], processes: int, log: Path, handed_down: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """Start one process, or the `torchrun` that starts several and holds the locks for them."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "--module", "--"]
    start = torchrun if processes > 1 else ["-m"]
    with open(log, "ab") as out:
        return subprocess.Popen(
            [sys.executable, *start, PACKAGE, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,  # a file: a pipe that nobody reads would stall the run
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=handed_down,
            env=_environment(),
        )


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def _stamp(run: RunDir) -> tuple[int, int]:
    """Changes whenever the run says something."""
    with suppress(FileNotFoundError):
        stat = run.metrics_file.stat()
        return stat.st_size, stat.st_mtime_ns
    return 0, 0


def _failure(log: bytes, code: int) -> RunFailed:
    """Why a run's process ended with `code`, from what it printed."""
    said = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
    for opening in ("error: ", "error, in process ") if code > 0 else ():  # the second of one that has less to say
        if told := [line for line in said if line.startswith(opening)]:
            return RunFailed(reason=told[-1].partition(": ")[2], user_error=opening == "error: ")
    killed = [int(match[1]) for line in said if (match := re.match(r" +exitcode +: -(\d+)", line))]
    number = -code if code < 0 else killed[-1] if killed else 0  # of several that torchrun tells of, the first is last
    if number:
        name = signal.Signals(number).name
        reason = f"the training process was killed by signal {number} ({name}); most often the machine has run out of "
        return RunFailed(reason=reason + "memory. Resume goes on from the last save.", user_error=False)
    reason = said[-1] if said else f"the training process ended with exit code {code}."
    return RunFailed(reason=reason, user_error=False)


def _environment() -> dict[str, str]:
    """Environment of a run's process: without secrets, and with this package, from whatever folder it was started."""
    kept = {name: value for name, value in os.environ.items() if not any(word in name.upper() for word in _SECRETS)}
    path = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(path)}
