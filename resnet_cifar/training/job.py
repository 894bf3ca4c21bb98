"""A run inside a Job: trained in a folder of this machine, kept in one that outlives it.

What is kept there, on a mounted bucket, is only copied to and from: whether locks and appending work there is unknown.
"""

import os
import shutil
import tempfile
from pathlib import Path

from resnet_cifar.errors import UserError
from resnet_cifar.events import ENDS, Event
from resnet_cifar.model.checkpoint import CONFIG, MODEL
from resnet_cifar.model.unknown import UNKNOWN
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.runs.relay import Sender
from resnet_cifar.runs.run_dir import LARGEST_RECIPE, RunDir
from resnet_cifar.system import files

SAVE_EVERY = 300.0  # seconds: a save of ResNet-34 has a third of a gigabyte, and each one crosses a network
_RESULTS = (CONFIG, MODEL, UNKNOWN, "eval.json")


def restore(name: str, kept: Path, recipe: Path) -> RunDir:
    """Return the run on this machine: as it was kept, or a new one with a recipe from a file.

    Raises UserError where neither can be read.
    """
    folder = Path(tempfile.mkdtemp(prefix="resnet_cifar-")) / name
    if not any((kept / name).exists() for name in ("last.safetensors", "eval.json")):  # nothing was saved
        try:
            return RunDir.create(folder, Recipe.from_json(files.read_text(recipe, LARGEST_RECIPE)))
        except OSError as error:
            raise files.cannot_read(recipe, error) from error
    folder.mkdir()
    for file in kept.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copyfile(file, folder / file.name)
    return RunDir(folder)


class Keeper:
    """Consumer of events: prints those that were recorded as lines of the log, and copies the run after each save."""

    def __init__(self, run: RunDir, kept: Path) -> None:
        self._run = run
        self._kept = kept
        self._sender = Sender(run)
        self._copied: dict[str, tuple[int, int]] = {}
        """Modification time and size of each file when it was copied."""
        kept.mkdir(parents=True, exist_ok=True)

    def show(self, event: Event) -> None:
        """Take one more event. The line of the last one is printed when all is kept."""
        ended = isinstance(event, ENDS)
        if ended or files.stamp(self._run.last_file) != self._copied.get(self._run.last_file.name):
            self._keep(ended)
        for line in self._sender.lines():
            print(line, flush=True)

    def _keep(self, ended: bool) -> None:
        """Copy what has changed; the save last, because it is of no use without the lines of the record before it."""
        names = ("recipe.json", "metrics.jsonl", *_RESULTS, self._run.last_file.name)
        for name in names:
            now = files.stamp(self._run.path / name)
            if now is not None and now != self._copied.get(name):
                _copy(self._run.path / name, self._kept / name)
                self._copied[name] = now
        if ended and not self._run.last_file.exists():
            (self._kept / self._run.last_file.name).unlink(missing_ok=True)


def _copy(file: Path, target: Path) -> None:
    try:
        os.replace(files.copy_beside(file, target), target)
    except OSError as error:
        raise UserError(f"cannot keep {file.name} in {target.parent}: {error.strerror or error}.") from error
