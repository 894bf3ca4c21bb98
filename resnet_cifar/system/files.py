"""Atomic file writes: after a crash at any moment, a file has either its old or its new content."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_cifar.errors import UserError

_LEFTOVER = ".tmp*"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; on exit, flush that file to disk and rename it to `target`.

    Raises UserError if the disk refuses the file; `target` is then unchanged.
    """
    draft = target.with_name(f".tmp-{target.name}")
    try:
        mode = _mode_of_new_file(draft)
        yield draft
        _flush(draft)
        draft.chmod(mode)  # safetensors writes files that only their owner can read
        os.replace(draft, target)
        _flush(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        draft.unlink(missing_ok=True)


def cannot_write(target: Path, error: OSError) -> UserError:
    """Build the error for a file that cannot be written."""
    return UserError(
        f"cannot write {target}: {error.strerror}. Free disk space or fix permissions; what was saved before is kept."
    )


def write_text(target: Path, text: str) -> None:
    """Replace the content of `target` by `text`."""
    with replacing(target) as draft:
        draft.write_text(text, encoding="utf-8")


def sweep(folder: Path) -> None:
    """Remove files that a killed writer left in `folder`. The caller must be the only writer there."""
    for leftover in folder.glob(_LEFTOVER):
        leftover.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mode_of_new_file(probe: Path) -> int:
    """Create a file, read its mode and remove it: reading the umask would change it for all threads of the process."""
    probe.unlink(missing_ok=True)  # a killed writer may have left one
    descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        probe.unlink()
