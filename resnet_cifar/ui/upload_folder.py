"""The folder of uploads: private, bounded as a whole, and swept by age and size."""

import errno
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from resnet_cifar.errors import UserError

KEPT = 3600
"""Seconds after which an upload is deleted."""
_NAME = f"resnet_cifar-{os.getuid()}-uploads"
_YOUNG = 60  # seconds in which an upload is in use, and not deleted to make room
_LOOK = 1.0  # seconds between looks at the folder while it is full
_FILE = 8192  # bytes that a file and its folder take beside its content


class Uploads:
    """Counts the bytes in the folder, and those that arrive. Safe to use from several threads."""

    def __init__(self, folder: Path, limit: int) -> None:
        """`limit`: bytes in the folder, after which no more are received until there is room."""
        self.folder = folder
        self._limit = limit
        self._taken = 0
        self._received = 0
        self._looked = 0.0

    def receive(self, size: int) -> None:
        """Count bytes that have arrived."""
        self._received += size
        self._taken += size

    def is_full(self, more: int = 0) -> bool:
        """Whether there is no room for so many bytes more. If so, `sweep` may make some."""
        return self._taken + more > self._limit

    @property
    def may_look(self) -> bool:
        """Whether the last look at the folder is long enough ago for another one to be worth its time."""
        return time.monotonic() - self._looked > _LOOK

    def sweep(self) -> None:
        """Delete what is older than an hour, then the oldest files until the rest takes half of the limit."""
        self._looked, received, now = time.monotonic(), self._received, time.time()
        files = sorted(_files(self.folder))
        taken = sum(size for _, size, _ in files)
        for changed, size, file in files:
            age = now - changed
            if age > KEPT or (taken > self._limit / 2 and age > _YOUNG):
                _delete(file)
                taken -= size
        self._taken = taken + self._received - received


def private_folder() -> Path:
    """Create the folder of uploads, which only this user can enter, and name it to Gradio.

    Gradio's own is the same for all apps and users of a machine. Raises UserError if another user has made it.
    """
    parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).resolve()
    folder = parent if parent.name == _NAME else parent / _NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
        folder.chmod(0o700)
    except OSError as error:
        raise UserError(
            f"cannot use {folder} for uploads: {error.strerror}. Set GRADIO_TEMP_DIR to a folder of yours."
        ) from error
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def _files(folder: Path) -> Iterator[tuple[float, int, str]]:
    """Yield time of change, size and path of each file and each empty folder."""
    for parent, folders, names in os.walk(folder):
        empty = not folders and not names and Path(parent) != folder
        for path in [parent] if empty else [os.path.join(parent, name) for name in names]:
            with suppress(OSError):  # deleted meanwhile
                found = os.lstat(path)
                yield found.st_ctime, _FILE + (0 if empty else found.st_size), path


def _delete(path: str) -> None:
    with suppress(OSError):  # deleted meanwhile, or no longer empty
        (os.rmdir if os.path.isdir(path) else os.remove)(path)
