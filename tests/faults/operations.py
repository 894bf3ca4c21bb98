"""Operations of this process that change files in a folder, by Python's audit events: something can happen at one.

What happens, happens before the operation, which is after the one before it. Tensors are written by Rust, unseen, but
never without an operation before and after them.
"""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

Act = Callable[[str, Path], object]
"""Called with what is about to be done and the file that it is done to."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_KINDS = {"os.rename": "rename", "os.remove": "remove", "os.chmod": "chmod", "os.mkdir": "mkdir", "os.rmdir": "rmdir"}
_WRITER = re.compile(r"^\.tmp-\d+-\d+-")
_watched: list[tuple[str, Act]] = []


def watch(folder: Path, act: Act) -> None:
    """Call `act` before each operation in `folder` that changes a file, from now on."""
    if not _installed:
        sys.addaudithook(_heard)  # which cannot be removed
        _installed.append(True)
    _watched[:] = [(str(folder) + os.sep, act)]


def unwatch() -> None:
    _watched.clear()


_installed: list[bool] = []


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched or (event != "open" and event not in _KINDS):
        return
    folder, act = _watched[0]
    path = arguments[0]
    if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(folder):
        return
    if event == "open" and not arguments[2] & _WRITING:
        return
    unwatch()  # what `act` does itself is not seen
    try:
        act(_KINDS.get(event, "write"), Path(path))
    finally:
        _watched[:] = [(folder, act)]


def named(kind: str, file: Path) -> str:
    """Name of an operation: the same for the same kind of it on the same file."""
    return f"{kind} {_WRITER.sub('.tmp-', file.name)}"


def die(kind: str, file: Path) -> NoReturn:
    """End at once, as if killed in the middle of a write: what was written last is torn."""
    if kind == "rename":  # from its draft
        os.truncate(file, file.stat().st_size // 2)
    elif kind == "write" and file.suffix == ".jsonl":
        with open(file, "ab") as torn:
            torn.write(b'{"event": "EpochEn')
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def over_quota(kind: str, file: Path) -> None:
    """Refuse what takes room. A real quota needs a file system that has them, and does not bind root."""
    if kind in ("write", "mkdir"):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(file))


class Nth:
    """Acts at the n-th operation of a name."""

    def __init__(self, name: str, number: int, act: Act) -> None:
        self.name, self.number, self.act = name, number, act
        self.seen = 0

    def __call__(self, kind: str, file: Path) -> None:
        self.seen += named(kind, file) == self.name
        if self.seen == self.number and named(kind, file) == self.name:
            self.act(kind, file)


class FromNth(Nth):
    """Acts at the n-th operation of a name, and at all operations after it."""

    def __call__(self, kind: str, file: Path) -> None:
        self.seen += named(kind, file) == self.name
        if self.seen >= self.number:
            self.act(kind, file)
