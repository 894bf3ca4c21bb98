"""Files: after a crash at any moment, a file has either its old or its new content; reads are bounded.

Nothing else than a regular file is read: a pipe would wait for a writer, a device would never end.
"""

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnet_cifar.errors import UserError

_WRITER = re.compile(r"\.tmp-(\d{1,9})-\d+-")  # beginning of a draft's name
_drafts: set[Path] = set()
"""Files that this process is writing."""
_MEGABYTE = 10**6
_ASIDE = ".deleted-"  # folders that are being removed begin with it
_ABANDONED = 3600.0  # seconds after which nobody can still be removing one


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; on exit, flush that file to disk and rename it to `target`.

    Raises UserError if the disk refuses the file; `target` is then unchanged.
    """
    draft = target.with_name(f".tmp-{os.getpid()}-{threading.get_ident()}-{target.name}")
    _drafts.add(draft)
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
        with suppress(OSError):  # whatever refuses this refused the file, too
            draft.unlink(missing_ok=True)
        _drafts.discard(draft)


def cannot_write(target: Path, error: OSError) -> UserError:
    """Build the error for a file that cannot be written."""
    return UserError(
        f"cannot write {target}: {error.strerror}. Free disk space or fix permissions; what was saved before is kept."
    )


def read_bytes(file: Path, largest: int, start: int = 0) -> bytes:
    """Return a file's content from byte `start` on; if it is negative, that many of the last bytes.

    Raises OSError if it cannot be read, is not a regular file, or has more than `largest` bytes.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as content:
        size = _size(os.fstat(descriptor), file, largest)
        place = content.seek(start if start >= 0 else max(0, size + start))
        return content.read(max(0, size - place))  # never more than was checked, even if it grows


def check_readable(file: Path, largest: int) -> None:
    """Raise OSError if a file is missing, is not a regular file, or has more than `largest` bytes."""
    _size(os.stat(file), file, largest)


def _size(status: os.stat_result, file: Path, largest: int) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EISDIR, "it is not a file", str(file))
    if status.st_size > largest:
        sizes = f"{status.st_size / _MEGABYTE:,.1f} MB; at most {largest / _MEGABYTE:,.1f} MB are read"
        raise OSError(errno.EFBIG, f"it has {sizes}", str(file))
    return status.st_size


def read_text(file: Path, largest: int) -> str:
    """Return a text file's content. Raises OSError, as `read_bytes`, and if it is not UTF-8."""
    try:
        return read_bytes(file, largest).decode()
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, "it is not text in UTF-8", str(file)) from error


def cannot_read(target: Path, error: OSError) -> UserError:
    """Build the error for a file that cannot be read."""
    return UserError(f"{target} can't be used: {error.strerror or error}.")


def remove(target: Path) -> None:
    """Remove a file if it is there. Raises UserError if it cannot be removed."""
    try:
        target.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot remove {target}: {error.strerror}; remove it yourself.") from error


def remove_at_once(folder: Path) -> None:
    """Remove a folder, and what a process that was killed in here has left of others beside it. Raises OSError.

    File by file, another process could lock a folder that is half empty; so it is moved away first.
    """
    try:
        aside = tempfile.mkdtemp(prefix=_ASIDE, dir=folder.parent)
    except OSError:  # the disk has no room for another folder, and this makes some
        remove_tree(str(folder))
        return
    try:
        folder.rename(Path(aside, folder.name))
    finally:
        remove_tree(aside)
    for leftover in folder.parent.glob(f"{_ASIDE}*"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _ABANDONED:
                remove_tree(str(leftover))


def remove_tree(folder: str) -> None:
    """Remove a folder and everything in it (of a link, only the link), even if files still appear in it.

    Whoever was opening a file in a folder when it was moved here can still create that one file, but no other.
    """
    for attempts_left in reversed(range(10)):
        try:
            shutil.rmtree(folder)
            break
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or not attempts_left:
                raise


def write_text(target: Path, text: str) -> None:
    """Replace the content of `target` by `text`."""
    with replacing(target) as draft:
        draft.write_text(text, encoding="utf-8")


def sweep(folder: Path) -> None:
    """Remove files that killed writers left in `folder`; what a process of this machine is writing there stays."""
    for leftover in folder.glob(".tmp*"):
        if not _is_being_written(leftover):
            with suppress(OSError):  # whatever it is, it is in nobody's way
                leftover.unlink()


def _is_being_written(draft: Path) -> bool:
    writer = _WRITER.match(draft.name)
    if writer is None or int(writer[1]) == os.getpid():  # as often in a container, whose processes get the same ids
        return draft in _drafts
    try:
        os.kill(int(writer[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def stamp(file: Path) -> tuple[int, int] | None:
    """Return a file's modification time in ns and its size, which tell whether it has changed; None if missing."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size


def copy_beside(file: Path, target: Path) -> Path:
    """Copy a file to a draft beside `target`, and return the draft, which is to be renamed to it. Raises OSError.

    For folders of which little is known, such as a mounted bucket: `replacing` asks for more.
    """
    draft = target.with_name(f".tmp-{target.name}")
    status = file.stat()
    shutil.copyfile(file, draft)
    with suppress(OSError):  # not every mount keeps times
        os.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
    return draft


def lock(folder: Path) -> int | None:
    """Lock a folder, if no other process has; returns a descriptor to close, or None if another one has.

    The kernel frees the lock when its holder dies. A file system that has no locks is taken to have no other users.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass
    return descriptor


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
