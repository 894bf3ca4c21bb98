"""The checkpoints that the page can use, each loaded once."""

from functools import lru_cache
from pathlib import Path

from resnet_cifar.checkpoint import CONFIG, MODEL
from resnet_cifar.errors import UserError
from resnet_cifar.predict import Classifier, default_checkpoint


class Models:
    """What lies in a folder of checkpoints, read anew whenever it is asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """All checkpoints, the default one first."""
        files = sorted(self._root.glob(f"*/{MODEL}"), key=lambda file: file.stat().st_mtime, reverse=True)
        names = [file.parent.name for file in files if (file.parent / CONFIG).is_file()]
        first = self.default()
        return [name for name in names if name == first] + [name for name in names if name != first]

    def default(self) -> str | None:
        """The one that is chosen when the page opens, if there is any."""
        try:
            return default_checkpoint(self._root).name
        except UserError:
            return None

    def classifier(self, name: str | None) -> Classifier:
        """The classifier of a checkpoint in the folder. Raises UserError where there is none, or it is broken."""
        folder = self._root / name if name in self.names() else None
        if folder is None:
            raise UserError(f"there is no model {name!r} here; choose one of {', '.join(self.names()) or 'none yet'}.")
        return _load(folder, (folder / MODEL).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(folder: Path, _version: int) -> Classifier:
    return Classifier.load(folder)
