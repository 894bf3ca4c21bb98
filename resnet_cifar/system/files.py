"""Files that are there whole or not at all, whatever is killed and whenever."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_cifar.errors import UserError

_LEFTOVER = ".tmp*"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to. On leaving it is flushed to disk and takes the target's place at once.

    Raises UserError where the disk won't take it; then the target is as it was.
    """
    draft = target.with_name(f".tmp-{target.name}")
    try:
        yield draft
        _flush(draft)
        draft.chmod(0o666 & ~_umask())  # some writers leave a file that its owner alone can read
        os.replace(draft, target)
        _flush(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        draft.unlink(missing_ok=True)


def cannot_write(target: Path, error: OSError) -> UserError:
    """What to tell of a disk or a folder that takes nothing."""
    return UserError(f"cannot write {target}: {error.strerror}. Make room or mend its rights; what was saved stays.")


def write_text(target: Path, text: str) -> None:
    """Put `text` in the place of what `target` held."""
    with replacing(target) as draft:
        draft.write_text(text, encoding="utf-8")


def sweep(folder: Path) -> None:
    """Remove what a killed writer left in `folder`; only where nobody else can be writing there."""
    for leftover in folder.glob(_LEFTOVER):
        leftover.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0o022)  # it can only be read by setting it
    os.umask(mask)
    return mask
