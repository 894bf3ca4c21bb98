"""A person's own images on the page: an uploaded archive, or a folder of this machine, is read and reported on.

What was read is kept, small, in `data/own/`, and is all that the run needs: an upload is deleted after an hour.
"""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from gradio.data_classes import FileData

from resnet_cifar.data import own_store
from resnet_cifar.data.own_store import OwnImages
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.recipe.presets import OWN_IMAGES
from resnet_cifar.training.own import learning, read_for, with_start
from resnet_cifar.ui.classify.uploads import uploaded
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.data_folder import path_of
from resnet_cifar.ui.train.form import form_of
from resnet_cifar.ui.train.own_report import report_html
from resnet_cifar.ui.train.tasks import Task, Tasks

MAX_MEGABYTES = 2_000
"""Size of the largest archive that can be uploaded where images of that size are allowed at all."""


class Reader(Tasks):
    """Reads a person's images for those who may start runs. Safe to use from several threads."""

    def __init__(self, rights: Rights) -> None:
        super().__init__("reading")
        self.folders = rights.owner is None
        """Whether folders of this machine may be named: not on a Space."""

    def begin(self, question: Mapping[str, Any]) -> int:
        """Start to read an upload (`path` and `name`) or a `folder`, and return the ticket."""
        path, name = self._named(question)
        return self._begin(lambda task: self._read(task, path, name))

    def file(self, images: object) -> Path:
        """Return where the images of a form are. Raises UserError if there are none."""
        if not images or not isinstance(images, str):
            raise UserError("your own images come first: drop a zip archive of them, or name their folder.")
        path = path_of(images)
        if not self.folders and not path.is_relative_to(own_store.UPLOADED):
            raise UserError("folders of this machine cannot be named here; drop a zip archive.")
        if not path.exists():
            raise UserError(f"the images are no longer at {path}; read them again.")
        return path

    def report(self, images: object) -> str:
        """Return the report on images that were read before; empty if that takes longer than a look."""
        path = self.file(images)
        if path.suffix != own_store.ENDING:
            return ""
        own = own_store.stored(path)
        return "" if own is None else report_html(own)

    def _named(self, question: Mapping[str, Any]) -> tuple[Path, str]:
        if "folder" not in question:
            file = uploaded(FileData(path=str(question.get("path") or ""), orig_name=str(question.get("name"))[:200]))
            return file.path, file.name
        if not self.folders:
            raise UserError("folders of this machine cannot be named here; drop a zip archive.")
        text = str(question["folder"]).strip()
        if not text:
            raise UserError("The folder is empty; enter the path of a folder, or of a zip archive.")
        return path_of(text), text

    def _read(self, task: Task, path: Path, name: str) -> dict[str, Any] | None:
        """Read the images; None if that was given up."""
        task.tell("Looking for initial weights")
        recipe = with_start(OWN_IMAGES)
        task.tell("Looking at the files")
        own = _result(read_for(recipe, path, own_store.UPLOADED), task)
        if own is None:
            return None
        form = form_of(learning(recipe, own), f"your images {name}", str(own.file))
        return {"form": form, "report": report_html(own)}


def _result(work: Generator[Progress, None, OwnImages], task: Task) -> OwnImages | None:
    """Run work to its end, and tell how far it is; None if it was given up."""
    while not task.given_up:
        try:
            progress = next(work)
        except StopIteration as end:
            own: OwnImages = end.value
            return own
        task.tell(f"Reading images: {progress.done:,} of {progress.total:,}", progress.done / progress.total)
    work.close()
    return None
