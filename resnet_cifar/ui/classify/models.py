"""The models that the page offers: checkpoints in a folder and downloads from the Hub. Each is loaded once."""

from collections.abc import Generator
from functools import lru_cache
from pathlib import Path

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.hub.catalog import checkpoints_in, unusable_in
from resnet_cifar.hub.pull import pull, repo_of
from resnet_cifar.model.checkpoint import MODEL
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.system.background import in_background
from resnet_cifar.ui.rights import Rights


class Models:
    """Models by name. The folder is read again on every call, so new runs appear without a restart."""

    def __init__(self, root: Path, rights: Rights) -> None:
        self._root = root
        self._rights = rights
        self._downloaded: dict[str, Path] = {}

    def names(self) -> list[str]:
        """List the usable models, the default one first."""
        return [*(folder.name for folder in checkpoints_in(self._root)), *self._downloaded]

    def unusable(self) -> dict[str, str]:
        """Return the unusable folders and the reasons."""
        return unusable_in(self._root)

    def default(self) -> str | None:
        """Return the model selected when the page opens, if there is any."""
        return next(iter(self.names()), None)

    def fetch(self, name: str | None) -> Generator[Progress, None, None]:
        """Download the model if `name` is a Hub repo (USER/NAME or USER/NAME@REVISION) that is not here yet.

        Raises UserError if there is no such repo or no usable checkpoint in it, and a refusal if the visitor may not
        change anything.
        """
        repo = repo_of(name or "")
        if name is None or repo is None or name in self.names():
            return
        self._rights.need()
        on_space = self._rights.owner is not None  # there, all visitors can use the download
        folder = yield from in_background(
            lambda: pull(*repo, anonymous=on_space), lambda: Progress(phase="download", done=0, total=0)
        )
        self._downloaded[name] = folder

    def folder(self, name: str | None) -> Path:
        """Return a model's folder. Raises UserError if there is no such model."""
        if name in self._downloaded:
            return self._downloaded[name]
        if name is None or name not in self.names():
            raise UserError(f"there is no model {name!r}; available: {', '.join(self.names()) or 'none yet'}.")
        return self._root / name

    def classifier(self, name: str | None) -> Classifier:
        """Load a model. Raises UserError if there is no such model or it is damaged."""
        folder = self.folder(name)
        try:
            return _load(folder, (folder / MODEL).stat().st_mtime_ns)
        except UserError as error:
            raise UserError(self._rights.without(folder.parent, error)) from error


@lru_cache(maxsize=4)
def _load(folder: Path, _version: int) -> Classifier:
    return Classifier.load(folder)
