"""The models that the page offers: checkpoints in a folder and downloads from the Hub. Each is loaded once."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypeVar

import gradio as gr
from PIL import Image

from resnet_cifar.data.images import centre_square
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.hub.catalog import checkpoints_in, unusable_in
from resnet_cifar.hub.pull import pull, repo_of
from resnet_cifar.inspection.predictions import data_of
from resnet_cifar.model import zero_gpu
from resnet_cifar.model.checkpoint import MODEL, read_config
from resnet_cifar.model.classifier import Classifier, Prediction
from resnet_cifar.recipe.datasets import OWN
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.background import in_background
from resnet_cifar.system.priority import REQUESTS
from resnet_cifar.ui.classify.accuracy import Accuracy, accuracy_of
from resnet_cifar.ui.classify.batches import Batches
from resnet_cifar.ui.rights import Rights

T = TypeVar("T")


class Models:
    """Models by name. The folder is read again on every call, so new runs appear without a restart."""

    def __init__(self, root: Path, rights: Rights) -> None:
        self.root = root
        self._rights = rights
        self._downloaded: dict[str, Path] = {}
        self._batches = Batches()

    def names(self) -> list[str]:
        """List the usable models: the one that ships first, then the newest, then downloads."""
        return list(self._folders())

    def unusable(self) -> dict[str, str]:
        """Return the unusable folders and the reasons."""
        return unusable_in(self.root)

    def ranked(self) -> tuple[list[str], list[str]]:
        """List the models in two parts, the most accurate first: those worth a look, and the barely trained ones."""
        accuracies = {name: accuracy_of(folder) for name, folder in self._folders().items()}
        names = sorted(accuracies, key=lambda name: -(accuracies[name].top1 or 0))
        good = [name for name in names if not accuracies[name].barely_trained]
        return (good, [name for name in names if name not in good]) if good else (names, [])

    def default(self) -> str | None:
        """Return the model selected when the page opens, if there is any: the most accurate one."""
        return next(iter(self.ranked()[0]), None)

    def hides_images(self, name: str) -> bool:
        """Return whether a model learned somebody's own images, and the visitor is not the one to see them."""
        return data_of(RunDir(self.folder(name))) == OWN and not self._rights.change

    def accuracy(self, name: str) -> Accuracy:
        """Return a model's accuracy. Raises UserError if there is no such model."""
        return accuracy_of(self.folder(name))

    def labels(self, name: str | None) -> tuple[str, ...]:
        """Return a model's class names, without loading its weights; none without a model."""
        return () if name is None else read_config(self.folder(name)).labels

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
        folders = self._folders()
        if name is None or name not in folders:
            raise UserError(f"there is no model {name!r}; available: {', '.join(folders) or 'none yet'}.")
        return folders[name]

    def _folders(self) -> dict[str, Path]:
        return {folder.name: folder for folder in checkpoints_in(self.root)} | self._downloaded

    def classifier(self, name: str | None) -> Classifier:
        """Load a model. Raises UserError if there is no such model or it is damaged."""
        return self._use(name, lambda folder, version: zero_gpu.classifier(folder, version, zero_gpu.PAGE_DEVICE))

    def predict(
        self, name: str | None, images: Sequence[Image.Image], top: int = 5, live: bool = False
    ) -> list[Prediction]:
        """Classify images with a model, as Classifier.predict. Raises UserError as `classifier`.

        On ZeroGPU this uses the visitor's daily minutes of a GPU, or, where none is given, the CPU. `live`: always the
        CPU there, because a webcam's images would use the minutes up.
        """

        def send(folder: Path, version: int) -> list[Prediction]:
            side = read_config(folder).side
            small = [centre_square(image, side) for image in images]  # they go to another process
            return zero_gpu.predict(folder, version, small, top)

        with REQUESTS.answering():
            if zero_gpu.ON_ZERO_GPU and images and not live:
                try:
                    return self._use(name, send)
                except gr.Error as refusal:
                    print(f"ZeroGPU: {refusal.message}; classified on the CPU", flush=True)
            return self._batches.predict(self.classifier(name), images, top)

    def _use(self, name: str | None, work: Callable[[Path, int], T]) -> T:
        """Call `work` with a model's folder and the version of its weights; errors hide paths from strangers."""
        folder = self.folder(name)
        try:
            return work(folder, (folder / MODEL).stat().st_mtime_ns)
        except UserError as error:
            raise UserError(self._rights.without(folder.parent, error)) from error
