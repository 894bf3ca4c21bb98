"""Files of a folder or a zip archive, by name. An archive is never unpacked: its files are read one at a time."""

import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from resnet_cifar.errors import UserError

MAX_FILES = 200_000
MAX_FILE_BYTES = 100 * 2**20
MAX_BYTES = 50 * 2**30
_MAX_RATIO = 100
"""Largest ratio of an archive's content to its size; photographs hardly compress."""
_SMALL = 10 * 2**20  # bytes below which the ratio is of no concern


class Files(Protocol):
    """Named files that can be read."""

    def names(self) -> list[str]:
        """Return relative paths with slashes."""

    def read(self, name: str) -> bytes:
        """Return a file's content. Raises UserError if it cannot be read."""

    def stamp(self, name: str) -> tuple[int, int]:
        """Return two numbers that change when the file does."""


class Folder:
    """The files below a folder. Links to folders are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Return relative paths with slashes. Raises UserError if there are more than `MAX_FILES`."""
        found: list[str] = []
        for folder, _, files in os.walk(self._root):  # counted as it goes: a home folder may hold millions
            place = Path(folder).relative_to(self._root)
            found += ((place / file).as_posix() for file in files)
            if len(found) > MAX_FILES:
                raise UserError(f"{self._root} holds more than {MAX_FILES:,} files; name the folder of the images.")
        return found

    def read(self, name: str) -> bytes:
        """Return a file's content. Raises UserError if it is too large or cannot be read."""
        file = self._root / name
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise UserError(_too_large(name, file.stat().st_size))
            return file.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {name}: {error.strerror}.") from error

    def stamp(self, name: str) -> tuple[int, int]:
        """Return size and modification time; zeros where the file cannot be looked at."""
        try:
            status = (self._root / name).stat()
        except OSError:
            return 0, 0
        return status.st_size, status.st_mtime_ns


class Zip:
    """The files of a zip archive."""

    def __init__(self, archive: zipfile.ZipFile, label: str) -> None:
        self._archive = archive
        self._infos = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        _check(archive, label)

    def names(self) -> list[str]:
        """Return relative paths with slashes."""
        return list(self._infos)

    def read(self, name: str) -> bytes:
        """Return a file's content; never more than the archive says that it is long. Raises UserError."""
        info = self._infos[name]
        if info.file_size > MAX_FILE_BYTES:
            raise UserError(_too_large(name, info.file_size))
        try:
            with self._archive.open(info) as file:
                return file.read(info.file_size)
        except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError) as error:
            raise UserError(f"cannot read {name}: it is damaged in the archive.") from error

    def stamp(self, name: str) -> tuple[int, int]:
        """Return size and checksum."""
        return self._infos[name].file_size, self._infos[name].CRC


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """Open a folder or a zip archive.

    Raises UserError if it is neither, or if the archive is encrypted, damaged, unreasonably large or holds links or
    names that lead out of it. This is seen from the archive's list of files, before any is read.
    """
    if path.is_dir():
        yield Folder(path)
        return
    if not path.exists():
        raise UserError(f"there is no {path}; name a folder or a zip archive of images.")
    try:
        with zipfile.ZipFile(path) as archive:
            yield Zip(archive, path.name)
    except (zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise UserError(
            f"{path.name} is not a zip archive, or it is damaged; name a folder or a zip archive."
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path.name}: {error.strerror or error}.") from error


def _check(archive: zipfile.ZipFile, label: str) -> None:
    infos = archive.infolist()
    if len(infos) > MAX_FILES:
        raise UserError(f"{label} holds {len(infos):,} files, and up to {MAX_FILES:,} are allowed.")
    for info in infos:
        path = PurePosixPath(info.filename)
        # a backslash and "C:" lead out on Windows, where the archive may be unpacked one day
        if path.is_absolute() or ".." in path.parts or "\\" in info.filename or ":" in (path.parts or ("",))[0]:
            raise UserError(f"{label} holds {info.filename!r}, a name that leads out of the archive; it is not read.")
        if stat.S_ISLNK(info.external_attr >> 16):  # the upper half is the Unix mode
            raise UserError(f"{label} holds a link, {info.filename!r}; replace it with the file itself.")
        if info.flag_bits & 0x1:  # bit 0 of the format's flags
            raise UserError(f"{label} is encrypted; save it without a password.")
    size, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if size > MAX_BYTES:
        raise UserError(f"{label} unpacks to {size / 2**30:,.0f} GiB, and up to {MAX_BYTES // 2**30} are allowed.")
    if size > _SMALL and size > _MAX_RATIO * max(1, packed):
        raise UserError(
            f"{label} unpacks to {size / max(1, packed):,.0f} times its size, which no archive of images does; "
            "it is not read."
        )


def _too_large(name: str, size: int) -> str:
    return f"{name} has {size / 2**20:,.0f} MiB, and an image may have {MAX_FILE_BYTES // 2**20}."
