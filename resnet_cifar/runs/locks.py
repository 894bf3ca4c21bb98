"""File locks (`flock`) on runs and devices. The kernel frees a lock when its holder dies, so no lock is ever stale.

- The holder writes its process id and a note into the locked file. Both count only while the lock is held.
- A lock can be passed to a child process: a child that inherits the descriptor holds the lock until it closes the
  descriptor, even if the parent dies first.
- A parent can hold a lock for its children: a process whose parent holds the lock proceeds as if it held it itself.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT = 0.5  # seconds; `holder` takes the lock for microseconds, which must not look like a conflict


@dataclass(frozen=True)
class Holder:
    """The holder of a lock."""

    pid: int | None
    """Process that trains; None if the holder does not train, or its process id means nothing in this PID namespace."""
    note: str
    """Run that the lock is held for, by name or path."""


class Held(Exception):
    """Raised if another process holds the lock."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(holder.note)
        self.holder = holder


@contextmanager
def locked(file: Path, note: str, pid: int | None = None, inherited: Sequence[int] = ()) -> Iterator[int]:
    """Hold the lock on `file`; yields its descriptor.

    `pid`: process that trains, if the lock is held for training. `inherited`: descriptors of locks from the parent
    process; if one of them is of `file`, it is used. Raises Held if another process holds the lock, OSError if the
    file cannot be created.
    """
    descriptor = _inherited_descriptor(file, inherited)
    mine = descriptor is not None or not _held_by_parent(file)
    if descriptor is None:
        descriptor = _acquire(file) if mine else os.open(file, os.O_RDONLY)
    try:
        if mine:
            sign(descriptor, pid, note)
        yield descriptor
    finally:
        os.close(descriptor)  # without LOCK_UN, which would also release the lock of a child that inherited it


def sign(descriptor: int, pid: int | None, note: str) -> None:
    """Write the holder's process id and note into a locked file."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{pid or '-'} {_pid_namespace()} {note}".encode(), 0)


def holder(file: Path) -> Holder | None:
    """Return the holder of the lock on `file`, or None if nobody holds it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:  # there is none, or whatever is there in its place cannot be locked by a run either
        return None
    try:
        if _try(descriptor, fcntl.LOCK_SH):
            return None
        pid, place, note = (*os.pread(descriptor, 4096, 0).decode(errors="replace").split(" ", 2), "", "", "")[:3]
        return Holder(int(pid) if pid.isdigit() and place == _pid_namespace() else None, note)
    finally:
        os.close(descriptor)


def device_file(device: str) -> Path:
    """Return the lock file of a device; holding its lock means that a run of this user is using the device."""
    return Path(tempfile.gettempdir()) / f"resnet_cifar-{os.getuid()}-{device}.lock"


def _inherited_descriptor(file: Path, inherited: Sequence[int]) -> int | None:
    for descriptor in inherited:
        if _is_at(file, descriptor):
            os.set_inheritable(descriptor, False)
            return descriptor
    return None


def _held_by_parent(file: Path) -> bool:
    """Return whether the parent process holds the lock, as `torchrun` does for its workers."""
    held = holder(file)
    return held is not None and held.pid == os.getppid()


def _acquire(file: Path) -> int:
    deadline = time.monotonic() + _TIMEOUT
    while True:
        # The temporary folder is writable for all users, so links in it are never followed.
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        while not _try(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise Held(holder(file) or Holder(None, ""))
            time.sleep(0.02)
        if _is_at(file, descriptor):
            break
        os.close(descriptor)  # the previous holder has deleted or renamed its folder
    os.ftruncate(descriptor, 0)  # remove what the previous holder wrote
    return descriptor


def _is_at(file: Path, descriptor: int) -> bool:
    return file.exists() and os.path.samestat(os.fstat(descriptor), file.stat())


def _pid_namespace() -> str:
    """Identify the machine and container within which process ids are valid."""
    try:
        return f"{os.uname().nodename}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return os.uname().nodename


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
