"""A small disk for a test: it can be filled, run out of places for files, become read-only, and be mended."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_BALLAST = "ballast"
_MEGABYTES = 16
_FILES = 10_000


class Disk:
    """A tmpfs. Tests that use it do so in `folder`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "files"

    def fill(self) -> None:
        """Leave no byte."""
        left = os.statvfs(self.root)
        with open(self.root / _BALLAST, "wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, left.f_bavail * left.f_frsize)

    def use_up_files(self) -> None:
        """Leave room, but for no other file."""
        _mount("-o", f"remount,nr_inodes={_inodes(self.root)}", self.root)

    def close(self) -> None:
        """Make `folder` read-only, by a second mount over it: the first one is busy while a lock is held in it."""
        _mount("--bind", self.folder, self.folder)
        _mount("-o", "remount,bind,ro", self.folder)

    def mend(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True)
        _mount("-o", f"remount,nr_inodes={_FILES}", self.root)
        (self.root / _BALLAST).unlink(missing_ok=True)


def _inodes(root: Path) -> int:
    left = os.statvfs(root)
    return left.f_files - left.f_ffree


def _mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=True)


@contextmanager
def disk(root: Path) -> Iterator[Disk]:
    """Mount a disk, or skip the test where that is not permitted."""
    root.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={_MEGABYTES}m,nr_inodes={_FILES}", "tmpfs", root)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no small disk here: only root may mount one, on Linux")
    try:
        made = Disk(root)
        made.folder.mkdir()
        yield made
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)
