"""Checkpoints: folders with `model.safetensors` and `config.json`, which contain everything needed to use the model.

Nothing here reads or writes a pickle.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_cifar import decode
from resnet_cifar.errors import UserError
from resnet_cifar.model.calibration import IDENTITY, Calibration
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.model.tensors import read_shapes, read_tensors, tensors_id, write_tensors
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.classes import FINE
from resnet_cifar.recipe.config import STEMS
from resnet_cifar.recipe.datasets import LARGEST_SIDE, MOST_LABELS, Normalization
from resnet_cifar.recipe.limits import check_distinct, check_one_of, check_range, check_text
from resnet_cifar.system import files

MODEL = "model.safetensors"
CONFIG = "config.json"
LARGEST_CONFIG = 8 * 10**6  # bytes


@dataclass(frozen=True, kw_only=True)
class _File:
    """Content of `config.json`, as far as it is read. Folders of earlier versions lack the fields with a default."""

    arch: str
    stem: str
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    label_names: tuple[str, ...]
    side: int = 32
    temperature: float = 1.0
    power: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything needed to rebuild a model and its preprocessing."""

    arch: str
    stem: str
    image_size: int
    normalization: Normalization
    labels: tuple[str, ...] = FINE
    """Class names, in the order of the logits."""
    side: int = 32
    """Pixels a side to which images are reduced first, as those that the model learned from were."""
    calibration: Calibration = IDENTITY
    """Turns logits into confidences that can be believed; fitted on val."""

    def __post_init__(self) -> None:
        check_one_of("arch", self.arch, tuple(ARCHITECTURES))
        check_one_of("stem", self.stem, STEMS)
        check_range("image_size", self.image_size, 1, LARGEST_SIDE)
        check_range("side", self.side, 1, LARGEST_SIDE)
        check_range("number of label_names", len(self.labels), 1, MOST_LABELS)
        for label in self.labels:
            check_text("label_names: a label", label, 255, 1)
        check_distinct("label_names", self.labels)

    @property
    def known_elsewhere(self) -> bool:
        """Whether torchvision, timm and transformers can build the network."""
        return self.stem == "stock" and ARCHITECTURES[self.arch].known_elsewhere

    def to_json(self) -> str:
        """Write `config.json`. If timm knows the network, timm's keys are included, so that it can load the folder."""
        fields: dict[str, Any] = {
            "arch": self.arch,
            "stem": self.stem,
            "image_size": self.image_size,
            "mean": self.normalization.mean,
            "std": self.normalization.std,
            "label_names": self.labels,
            "side": self.side,
            "temperature": self.calibration.temperature,
            "power": self.calibration.power,
        }
        return json.dumps(fields | (self._timm() if self.known_elsewhere else {}), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelConfig":
        """Parse `config.json`. Raises UserError if it is not one that `to_json` wrote."""
        fields = decode.parse(text, "its content")
        file = decode.build(_File, fields, "its content", ignore_unknown=True)  # timm's fields are of no concern
        return cls(
            arch=file.arch,
            stem=file.stem,
            image_size=file.image_size,
            normalization=Normalization(file.mean, file.std),
            labels=file.label_names,
            side=file.side,
            calibration=Calibration(file.temperature, file.power),
        )

    def _timm(self) -> dict[str, Any]:
        side = self.image_size
        return {
            "architecture": self.arch,
            "num_classes": len(self.labels),
            "num_features": ARCHITECTURES[self.arch].features,
            "global_pool": "avg",
            "pretrained_cfg": {
                "input_size": [3, side, side],
                "mean": self.normalization.mean,
                "std": self.normalization.std,
                "interpolation": "bilinear",
                "crop_pct": 1.0,
                "crop_mode": "center",
                "pool_size": [-(-side // 32)] * 2,  # size of layer4's output
                "first_conv": "conv1",
                "classifier": "fc",
                "num_classes": len(self.labels),
                "label_names": self.labels,
            },
        }


def save_checkpoint(folder: Path, config: ModelConfig, weights: dict[str, Tensor]) -> None:
    """Write `config.json` and `model.safetensors`. Raises UserError if they cannot be written.

    The weights are written last: a reader that sees new weights also finds the config that belongs to them.
    """
    files.write_text(folder / CONFIG, config.to_json())
    write_tensors(folder / MODEL, weights)


def read_config(folder: Path) -> ModelConfig:
    """Read a checkpoint's `config.json`. Raises UserError if it is missing or invalid."""
    file = folder / CONFIG
    try:
        return ModelConfig.from_json(files.read_text(file, LARGEST_CONFIG))
    except FileNotFoundError as error:
        raise UserError(f"{folder} is not a checkpoint: it has no readable {CONFIG} ({error.strerror}).") from error
    except (OSError, UserError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error).removesuffix(".")
        raise UserError(f"{file} does not describe a model of this project: {why}.") from error


def load_checkpoint(folder: Path, device: torch.device) -> tuple[ResNet, ModelConfig]:
    """Load a checkpoint's model, in evaluation mode, and its config. Raises UserError if it cannot be used."""
    config, file = read_config(folder), folder / MODEL
    model = ResNet(config.arch, config.stem, len(config.labels))
    check_fit(model, read_shapes(file), str(file))  # before the values, of which there may be far too many
    load_weights(model, read_tensors(file)[0], str(file))
    return model.to(device).to(memory_format=torch.channels_last).eval(), config


def load_weights(model: ResNet, tensors: dict[str, Tensor], source: str) -> None:
    """Copy tensors into the model. If some do not fit, raises UserError with their names and changes nothing."""
    check_fit(model, tensors, source)
    own = model.state_dict()
    for name, tensor in tensors.items():
        own[name].copy_(tensor)


def check_fit(model: ResNet, tensors: dict[str, Tensor], source: str) -> None:
    """Raise UserError, with their names, if some tensors do not fit the model. Their values do not matter."""
    own = model.state_dict()
    faults = [
        f"{name} is {_shape(tensor)} and should be {_shape(own[name])}"
        for name, tensor in tensors.items()
        if name in own and own[name].shape != tensor.shape
    ]
    faults += [f"{name} is unknown" for name in tensors if name not in own]
    # Old files lack BatchNorm's counters, which nothing uses.
    faults += [f"{name} is missing" for name in own if name not in tensors and "num_batches_tracked" not in name]
    if faults:
        more = f", and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise UserError(f"{source} does not fit this network: {', '.join(faults[:4])}{more}.")


def weights_id(folder: Path) -> str:
    """Return the sha256 of a checkpoint's weights, from the header alone where it is there. Raises UserError."""
    return tensors_id(folder / MODEL)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
