"""The checkpoints that the page can use, each loaded once."""

from collections.abc import Generator
from functools import lru_cache
from pathlib import Path
from typing import Any

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.hub.catalog import checkpoints_in, unusable_in
from resnet_cifar.hub.pull import pull, repo_of
from resnet_cifar.model.checkpoint import MODEL
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.system.background import in_background
from resnet_cifar.ui.rights import Rights

LANE: dict[str, Any] = {"concurrency_id": "predictions", "concurrency_limit": 2}
"""Where predictions queue: nothing else can stand in their way."""


class Models:
    """What lies in a folder of checkpoints, read anew whenever it is asked for, and what was fetched from the Hub."""

    def __init__(self, root: Path, rights: Rights) -> None:
        self._root = root
        self._rights = rights
        self._fetched: dict[str, Path] = {}

    def names(self) -> list[str]:
        """All checkpoints that can be used, the default one first."""
        return [*(folder.name for folder in checkpoints_in(self._root)), *self._fetched]

    def unusable(self) -> dict[str, str]:
        """The names of the other ones, and what is wrong with each."""
        return unusable_in(self._root)

    def default(self) -> str | None:
        """The one that is chosen when the page opens, if there is any."""
        return next(iter(self.names()), None)

    def fetch(self, name: str | None) -> Generator[Progress, None, None]:
        """Get a Hub's repo, USER/NAME or USER/NAME@REVISION, if `name` is one; it is one of the names then.

        Raises UserError where there is no such repo, or nothing of ours in it; refuses those who may change nothing.
        """
        repo = repo_of(name or "")
        if name is None or repo is None or name in self.names():
            return
        self._rights.need()
        on_space = self._rights.owner is not None  # what is fetched there answers everybody
        folder = yield from in_background(
            lambda: pull(*repo, anonymous=on_space), lambda: Progress(phase="download", done=0, total=0)
        )
        self._fetched[name] = folder

    def folder(self, name: str | None) -> Path:
        """Where a checkpoint lies. Raises UserError where there is no such one."""
        if name in self._fetched:
            return self._fetched[name]
        if name is None or name not in self.names():
            raise UserError(f"there is no model {name!r} here; choose one of {', '.join(self.names()) or 'none yet'}.")
        return self._root / name

    def classifier(self, name: str | None) -> Classifier:
        """The classifier of a checkpoint. Raises UserError where there is none, or it is broken."""
        folder = self.folder(name)
        try:
            return _load(folder, (folder / MODEL).stat().st_mtime_ns)
        except UserError as error:
            raise UserError(self._rights.without(folder.parent, error)) from error


@lru_cache(maxsize=4)
def _load(folder: Path, _version: int) -> Classifier:
    return Classifier.load(folder)
