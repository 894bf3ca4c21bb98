"""Locks that the kernel frees when their holder dies, so that who holds one is never a matter of what some file says.

Who trains signs the locked file with its process id; the signature counts only as long as the lock is held. A lock can
be handed down: a child that inherits the descriptor holds it until it closes it, whatever becomes of its parent. And a
parent may hold it for its children: who finds it signed by its parent goes on as if it held the lock itself.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 0.5  # seconds; who only looks whether a file is locked holds the lock for microseconds


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int | None
    """Of the process that trains; None where the holder does something else, or trains in another place."""
    note: str


class Held(Exception):
    """The lock is another's; `holder` says whose."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(holder.note)
        self.holder = holder


@contextmanager
def locked(file: Path, note: str, pid: int | None = None, inherited: Sequence[int] = ()) -> Iterator[int]:
    """Hold the lock on `file`; its descriptor. Raises Held where another process does, OSError where it can't be made.

    `pid`: of the process that trains, if that is what it is held for. `inherited`: descriptors of locks that a parent
    handed down; where one of them is of this file, it is taken over.
    """
    descriptor = _handed_down(file, inherited)
    mine = descriptor is not None or not _held_by_parent(file)
    if descriptor is None:
        descriptor = _acquire(file) if mine else os.open(file, os.O_RDONLY)
    try:
        if mine:
            sign(descriptor, pid, note)
        yield descriptor
    finally:
        os.close(descriptor)  # and not unlocked: a child may hold it still


def sign(descriptor: int, pid: int | None, note: str) -> None:
    """Say in a locked file who holds it."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{pid or '-'} {_place()} {note}".encode(), 0)


def holder(file: Path) -> Holder | None:
    """Who holds the lock on `file`, if anybody."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        if _try(descriptor, fcntl.LOCK_SH):
            return None
        pid, place, note = (*os.pread(descriptor, 4096, 0).decode(errors="replace").split(" ", 2), "", "", "")[:3]
        return Holder(int(pid) if pid.isdigit() and place == _place() else None, note)
    finally:
        os.close(descriptor)


def device_file(device: str) -> Path:
    """The file whose lock means that a device of this machine is in use by this person."""
    return Path(tempfile.gettempdir()) / f"resnet_cifar-{os.getuid()}-{device}.lock"


def _handed_down(file: Path, inherited: Sequence[int]) -> int | None:
    for descriptor in inherited:
        if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
            os.set_inheritable(descriptor, False)
            return descriptor
    return None


def _held_by_parent(file: Path) -> bool:
    """Whether this is one of the processes that a `torchrun` started, to which the lock was handed down."""
    held = holder(file)
    return held is not None and held.pid == os.getppid()


def _acquire(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)  # its folder may be anybody's
    deadline = time.monotonic() + _PATIENCE
    while not _try(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise Held(holder(file) or Holder(None, ""))
        time.sleep(0.02)
    os.ftruncate(descriptor, 0)  # what the holder before wrote
    return descriptor


def _place() -> str:
    """Where a process id means what it does here: this machine, and in it this container."""
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
