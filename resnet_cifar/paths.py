"""The project's folders: the only module that goes up from its own path."""

import os
from pathlib import Path

from resnet_cifar.decode import LONGEST_PATH, brief
from resnet_cifar.errors import UserError

_LONGEST_NAME = 255  # bytes of one part of a path

SOURCE = Path(__file__).resolve().parent.parent
"""Folder that holds the package: the checkout, or site-packages where the package was installed."""
IS_CHECKOUT = (SOURCE / "app.py").exists()
ROOT = SOURCE if IS_CHECKOUT else Path.cwd()
"""Folder of runs and data: the checkout, or for an installed package the current folder."""
CHECKPOINTS = ROOT / "checkpoints"
DATA = ROOT / "data"
"""Default folder for the download of CIFAR-100."""


def check_path(path: str) -> None:
    """Raise UserError for a path, or a name, that no file system takes."""
    longest = max(len(os.fsencode(part)) for part in ("", *Path(path).parts))
    if longest > _LONGEST_NAME or len(path) > LONGEST_PATH or "\0" in path:
        raise UserError(f"{brief(path)} cannot be a name or a path: no file system takes it.")


def absolute(path: str) -> Path:
    """Return the absolute path that a person named, `~` expanded. Raises UserError if no file system takes it."""
    check_path(path)
    return Path(os.path.expanduser(path)).resolve()
