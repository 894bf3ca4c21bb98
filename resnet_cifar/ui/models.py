"""The checkpoints that the page can use, each loaded once."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from resnet_cifar.checkpoint import MODEL
from resnet_cifar.errors import UserError
from resnet_cifar.predict import Classifier, checkpoints_in, unusable_in

LANE: dict[str, Any] = {"concurrency_id": "predictions", "concurrency_limit": 2}
"""Where predictions queue: nothing else can stand in their way."""


class Models:
    """What lies in a folder of checkpoints, read anew whenever it is asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """All checkpoints that can be used, the default one first."""
        return [folder.name for folder in checkpoints_in(self._root)]

    def unusable(self) -> dict[str, str]:
        """The names of the other ones, and what is wrong with each."""
        return unusable_in(self._root)

    def default(self) -> str | None:
        """The one that is chosen when the page opens, if there is any."""
        return next(iter(self.names()), None)

    def classifier(self, name: str | None) -> Classifier:
        """The classifier of a checkpoint in the folder. Raises UserError where there is none, or it is broken."""
        folder = self._root / name if name in self.names() else None
        if folder is None:
            raise UserError(f"there is no model {name!r} here; choose one of {', '.join(self.names()) or 'none yet'}.")
        return _load(folder, (folder / MODEL).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(folder: Path, _version: int) -> Classifier:
    return Classifier.load(folder)
