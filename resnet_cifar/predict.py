"""What is in a picture: the one way from pictures to answers, for the page, programs and the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open

from resnet_cifar.checkpoint import CONFIG, MODEL, ModelConfig, load_checkpoint, load_weights, read_config
from resnet_cifar.classes import COARSE, FINE, FINE_TO_COARSE
from resnet_cifar.data import SIDE, Preprocess
from resnet_cifar.device import choose_device
from resnet_cifar.errors import UserError
from resnet_cifar.model import ResNet
from resnet_cifar.pictures import centre_square
from resnet_cifar.pull import pull, repo_of
from resnet_cifar.run_dir import CHECKPOINTS, locate

SHIPPED = "resnet34-cifar100-small-budget"
_META = torch.device("meta")  # where tensors have a shape but no values
_Stamp = tuple[int, int]  # when a file was written, and its size; of a missing one (0, 0)


@dataclass(frozen=True)
class Prediction:
    """What a network makes of a picture."""

    probabilities: dict[str, float]
    """Of the likeliest classes, the likeliest first."""
    superclass: str | None
    """The likeliest class's, where it is one of CIFAR-100's."""
    seen: Image.Image
    """What the network looked at."""

    @property
    def label(self) -> str:
        """The likeliest class."""
        return next(iter(self.probabilities))

    def as_json(self) -> dict[str, Any]:
        """The answer as programs get it."""
        confidences = [{"label": name, "confidence": value} for name, value in self.probabilities.items()]
        return {"label": self.label, "superclass": self.superclass, "confidences": confidences}


class Classifier:
    """A checkpoint that answers; it keeps its own copy of the weights, whatever becomes of the folder."""

    def __init__(self, model: ResNet, config: ModelConfig, device: torch.device) -> None:
        self.config = config
        self._model = model
        self._device = device
        self._preprocess = Preprocess(config.image_size, config.normalization, device)

    @classmethod
    def load(cls, where: str | Path | None = None, device: str = "auto") -> "Classifier":
        """The classifier of a run's name, a checkpoint's folder, or a repo on the Hugging Face Hub.

        `where`: a repo is USER/NAME or USER/NAME@REVISION; None: see `default_checkpoint`. Raises UserError where there
        is none, or where it is broken.
        """
        folder = _folder(where)
        chosen = choose_device(device)
        return cls(*load_checkpoint(folder, chosen), chosen)

    def predict(self, images: Sequence[Image.Image], top: int = 5) -> list[Prediction]:
        """The likeliest `top` classes of RGB pictures of any size, whose middle square is looked at."""
        if not images:
            return []
        small = np.stack([np.asarray(centre_square(image, SIDE)) for image in images])
        inputs = self._preprocess(torch.from_numpy(small).permute(0, 3, 1, 2).to(self._device))
        with torch.inference_mode():
            likeliest = self._model(inputs).softmax(1).topk(min(top, len(self.config.labels)))
        rows = zip(likeliest.values.tolist(), likeliest.indices.tolist(), self._seen(inputs), strict=True)
        return [self._prediction(values, indices, seen) for values, indices, seen in rows]

    def _prediction(self, values: list[float], indices: list[int], seen: Image.Image) -> Prediction:
        names = [self.config.labels[index] for index in indices]
        superclass = COARSE[FINE_TO_COARSE[FINE.index(names[0])]] if names[0] in FINE else None
        return Prediction(dict(zip(names, values, strict=True)), superclass, seen)

    def _seen(self, inputs: torch.Tensor) -> list[Image.Image]:
        """The network's inputs turned back into pictures."""
        normalization = self.config.normalization
        mean, std = (torch.tensor(values, device=self._device) for values in (normalization.mean, normalization.std))
        pixels = (inputs.permute(0, 2, 3, 1) * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8)
        return [Image.fromarray(picture.numpy()) for picture in pixels.cpu()]


def checkpoints_in(root: Path) -> list[Path]:
    """The checkpoint folders in a folder that can be used: the model that ships with the project first, then the
    newest.
    """
    written = {folder: weights[0] for folder, weights, config in _found(root) if not _fault(folder, weights, config)}
    return sorted(written, key=lambda folder: (folder.name != SHIPPED, -written[folder]))


def unusable_in(root: Path) -> dict[str, str]:
    """The names of the other ones, and what is wrong with each. A run that has kept nothing yet is not among them."""
    faults = {folder.name: _fault(folder, weights, config) for folder, weights, config in _found(root)}
    return {name: fault for name, fault in sorted(faults.items()) if fault}


def default_checkpoint() -> Path:
    """The first of `checkpoints_in`. Raises UserError where there is none."""
    folders = checkpoints_in(CHECKPOINTS)
    if not folders:
        others = "".join(f" {name} can't be used: {fault}" for name, fault in unusable_in(CHECKPOINTS).items())
        raise UserError(
            f"there is no checkpoint in {CHECKPOINTS} yet; train one with --train-only, or name one with --run.{others}"
        )
    return folders[0]


def _folder(where: str | Path | None) -> Path:
    if where is None:
        return default_checkpoint()
    if isinstance(where, Path):
        return where
    repo = None if Path(where).exists() else repo_of(where)
    return pull(*repo) if repo else locate(where)


def _found(root: Path) -> list[tuple[Path, _Stamp, _Stamp]]:
    """The folders that have a checkpoint's weights or its config, and the stamps of the two."""
    folders = {file.parent for name in (MODEL, CONFIG) for file in root.glob(f"*/{name}")}
    return [(folder, _stamp(folder / MODEL), _stamp(folder / CONFIG)) for folder in folders]


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1024)
def _fault(folder: Path, _weights: _Stamp, _config: _Stamp) -> str:
    """What is wrong with a checkpoint, as far as its config and the names and shapes of its tensors tell, or ''.

    A file is looked at again only once its stamp is another. What takes reading all of it, `load_checkpoint` finds.
    """
    for name in (MODEL, CONFIG):
        if not (folder / name).is_file():
            return f"{name} is missing."
    try:
        config = read_config(folder)
        load_weights(_outline(config.arch, config.stem, len(config.labels)), _shapes(folder / MODEL), MODEL)
        Preprocess(config.image_size, config.normalization, _META)(torch.empty(1, 3, SIDE, SIDE, device=_META))
    except UserError as error:
        return str(error).replace(f"{folder}/", "")  # a page may be open to strangers: no paths
    except (RuntimeError, TypeError, ValueError) as error:
        return f"{CONFIG} does not describe how to prepare a picture: {str(error).splitlines()[0]}."
    return ""


def _shapes(file: Path) -> dict[str, torch.Tensor]:
    """A file's tensors without their values. Raises UserError where its header is not what the file holds."""
    try:
        with safe_open(file, "pt") as content:
            names = content.keys()
            return {name: torch.empty(content.get_slice(name).get_shape(), device=_META) for name in names}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} is truncated or is no safetensors file: {error}.") from error


@lru_cache(maxsize=8)
def _outline(arch: str, stem: str, num_classes: int) -> ResNet:
    """A network without values, that tensors can be held against."""
    with _META:
        return ResNet(arch, stem, num_classes)
