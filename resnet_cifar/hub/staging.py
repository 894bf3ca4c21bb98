"""The project's own files, copied to a folder that is uploaded: for a Space, or for a Job."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from resnet_cifar.errors import UserError
from resnet_cifar.paths import IS_CHECKOUT, ROOT

_SUFFIXES = (".py", ".css", ".js", ".csv", ".txt", ".md", ".png", ".jpg", "")


def check_checkout(what: str) -> None:
    """Raise UserError unless the project's files are here. `what` happens only from there."""
    if not IS_CHECKOUT:
        raise UserError(f"{what} from a checkout of the project, and this is an installed package.")


def stage(folder: Path, patterns: Sequence[str], without: str = "") -> None:
    """Copy the project's files that match to `folder`; `without` names a package that is left out."""
    for file in sorted({file for pattern in patterns for file in ROOT.glob(pattern)}):
        if file.is_file() and file.suffix in _SUFFIXES and not {"__pycache__", without} & {*file.parts}:
            target = folder / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
