"""Paths that are typed into the form, and whether the data folder contains CIFAR-100."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from resnet_cifar.data.cifar100 import find
from resnet_cifar.data.cifar100_hub import NAME as HUB_COPY
from resnet_cifar.errors import UserError
from resnet_cifar.paths import absolute


def path_of(text: str) -> Path:
    """Return the absolute path that is typed. Raises UserError if it is none."""
    try:
        return absolute(text)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{text!r} is not a valid path: {error}.") from error


def check_data_folder(folder: Path) -> None:
    """Raise UserError if a folder lacks CIFAR-100. Files that have not changed are hashed once."""
    _check(folder, _stamps(folder))


@lru_cache(maxsize=4)
def _check(folder: Path, _stamps: tuple[Any, ...]) -> None:
    find(folder)


def _stamps(folder: Path) -> tuple[Any, ...]:
    """Size and time of each file that `find` may look at."""
    near = ("cifar-100-python/*", "*/cifar-100-python/*", HUB_COPY, f"*/{HUB_COPY}")
    inside = ("*", f"../{HUB_COPY}") if folder.name == "cifar-100-python" else ()
    files = sorted(file for pattern in (*near, *inside) for file in folder.glob(pattern))
    try:
        return tuple((file, status.st_size, status.st_mtime_ns) for file in files if (status := file.stat()))
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}.") from error
