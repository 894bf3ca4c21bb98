"""Checkpoints: folders with `model.safetensors` and `config.json`, which contain everything needed to use the model.

Every safetensors file written here has a sha256 of its tensors in its header. A file is refused if the sha256 does not
match or a value is not finite. Nothing here reads or writes a pickle.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from resnet_cifar.errors import Diverged, UserError
from resnet_cifar.model.calibration import IDENTITY, Calibration
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.classes import FINE
from resnet_cifar.recipe.config import STEMS
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.system import files

MODEL = "model.safetensors"
CONFIG = "config.json"
_LARGEST_SIDE = 1024  # pixels


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
        """Parse `config.json`. Raises ValueError if it is not one that `to_json` wrote."""
        try:
            fields = json.loads(text)
            config = cls(
                arch=fields["arch"],
                stem=fields["stem"],
                image_size=int(fields["image_size"]),
                normalization=Normalization(tuple(fields["mean"]), tuple(fields["std"])),
                labels=tuple(fields["label_names"]),
                side=int(fields.get("side", 32)),  # not in folders of earlier versions
                # Folders of earlier versions have no power, or neither number.
                calibration=Calibration(float(fields.get("temperature", 1.0)), float(fields.get("power", 1.0))),
            )
        except KeyError as error:
            raise ValueError(f"{error} is missing") from error
        except TypeError as error:
            raise ValueError(f"a value has the wrong type ({error})") from error
        if config.arch not in ARCHITECTURES or config.stem not in STEMS:
            raise ValueError(f"arch {config.arch!r} with stem {config.stem!r} is unknown")
        if not 1 <= config.side <= _LARGEST_SIDE:
            raise ValueError(f"side is {config.side}; it must be 1 to {_LARGEST_SIDE}")
        for name, value in asdict(config.calibration).items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}; it must be a number above 0")
        return config

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
        return ModelConfig.from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{folder} is not a checkpoint: it has no readable {CONFIG} ({error.strerror}).") from error
    except ValueError as error:
        raise UserError(f"{file} does not describe a model of this project: {error}.") from error


def load_checkpoint(folder: Path, device: torch.device) -> tuple[ResNet, ModelConfig]:
    """Load a checkpoint's model, in evaluation mode, and its config. Raises UserError if it cannot be used."""
    config = read_config(folder)
    tensors, _ = read_tensors(folder / MODEL)
    model = ResNet(config.arch, config.stem, len(config.labels))
    load_weights(model, tensors, str(folder / MODEL))
    return model.to(device).to(memory_format=torch.channels_last).eval(), config


def load_weights(model: ResNet, tensors: dict[str, Tensor], source: str) -> None:
    """Copy tensors into the model. If some do not fit, raises UserError with their names and changes nothing."""
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
    for name, tensor in tensors.items():
        own[name].copy_(tensor)


def write_tensors(file: Path, tensors: dict[str, Tensor], header: dict[str, str] | None = None) -> None:
    """Replace `file` by tensors, with their sha256 and `header` in its header.

    Raises UserError if the file cannot be written, and Diverged if a value is not finite; the old file is kept then.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if (name := _not_finite(ready)) is not None:
        raise Diverged(f"the values of {name} are no longer finite; try a new run with a lower --lr.")
    try:
        with files.replacing(file) as draft:
            save_file(ready, draft, metadata={"format": "pt", "sha256": _digest(ready)} | (header or {}))
    except SafetensorError as error:
        raise UserError(
            f"cannot write {file}: {error}. Free some disk space; the previous file is unchanged."
        ) from error


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file's tensors and header. Raises UserError if it is missing, truncated, modified or not finite."""
    try:
        with safe_open(file, "pt") as content:
            header = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise UserError(f"there is no file {file}.") from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} is truncated or not a safetensors file: {error}.") from error
    if "sha256" in header and header["sha256"] != _digest(tensors):
        raise UserError(
            f"{file} is damaged: its tensors do not match the sha256 in its header; copy or download it again."
        )
    check_finite(tensors, file)
    return tensors, header


def weights_id(folder: Path) -> str:
    """Return the sha256 of a checkpoint's weights, from the header alone where it is there. Raises UserError."""
    try:
        with safe_open(folder / MODEL, "pt") as content:
            known = (content.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        known = None
    return known or _digest(read_tensors(folder / MODEL)[0])


def check_finite(tensors: dict[str, Tensor], file: Path) -> None:
    """Raise UserError if a value is not finite."""
    if (name := _not_finite(tensors)) is not None:
        raise UserError(f"{file} cannot be used: {name} has values that are not finite.")


def _digest(tensors: dict[str, Tensor]) -> str:
    """Compute a sha256 of names, types, shapes and values, regardless of the order of the tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _not_finite(tensors: dict[str, Tensor]) -> str | None:
    """Return the name of the first tensor with a value that is not finite."""
    return next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
