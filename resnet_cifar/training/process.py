"""Processes of runs: how they are started, what they inherit, and how they are killed."""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

from resnet_cifar.paths import SOURCE
from resnet_cifar.system.signals import blocked

PACKAGE = "resnet_cifar"

_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "AUTH", "KEY", "CREDENTIAL")


def start_process(
    arguments: list[str], processes: int, log: Path, locks: tuple[int, ...], token: str | None
) -> subprocess.Popen[bytes]:
    """Start one process, or `torchrun`, which starts several and holds the locks for them.

    A token goes through a pipe: arguments and environment of a process can be read by others. Who has it must cancel a
    Job when asked to stop, however early, so the request waits for it.
    """
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "--module", "--"]
    start = torchrun if processes > 1 else ["-m"]
    with open(log, "ab") as out, nullcontext() if token is None else blocked():
        child = subprocess.Popen(
            [sys.executable, *start, PACKAGE, *arguments],
            stdin=subprocess.DEVNULL if token is None else subprocess.PIPE,
            stdout=out,  # a file, because a pipe that nobody reads would block the run
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the page's terminal does not reach the run
            pass_fds=locks,
            env=_environment(),
        )
    if child.stdin is not None and token is not None:
        with child.stdin as pipe:
            pipe.write(token.encode())
    return child


def kill_process(pid: int) -> None:
    """Kill a run's process, with its workers if it leads a group of its own."""
    with suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Environment of a run's process: without secrets, and with this package, from whatever folder it is started."""
    kept = {name: value for name, value in os.environ.items() if not any(word in name.upper() for word in _SECRETS)}
    path = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(path)}
