"""Checkpoints: a folder with `model.safetensors` and `config.json` that says all that is needed to use it.

Every safetensors file of ours carries a sha256 of its tensors in its header, and is refused if that or a single value
is wrong. Nothing here reads or writes a pickle.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from resnet_cifar.errors import Diverged, UserError
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.classes import FINE
from resnet_cifar.recipe.config import STEMS
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.system import files

MODEL = "model.safetensors"
CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What must be known to rebuild a model and its preprocessing."""

    arch: str
    stem: str
    image_size: int
    normalization: Normalization
    labels: tuple[str, ...] = FINE

    @property
    def known_elsewhere(self) -> bool:
        """Whether torchvision, timm and transformers can build the network."""
        return self.stem == "stock" and ARCHITECTURES[self.arch].known_elsewhere

    def to_json(self) -> str:
        """JSON for `config.json`; with the stock stem in timm's keys as well, so that timm can load the folder."""
        fields: dict[str, Any] = {
            "arch": self.arch,
            "stem": self.stem,
            "image_size": self.image_size,
            "mean": self.normalization.mean,
            "std": self.normalization.std,
            "label_names": self.labels,
        }
        return json.dumps(fields | (self._timm() if self.known_elsewhere else {}), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelConfig":
        """What `to_json` wrote. Raises ValueError where it is something else."""
        try:
            fields = json.loads(text)
            config = cls(
                arch=fields["arch"],
                stem=fields["stem"],
                image_size=int(fields["image_size"]),
                normalization=Normalization(tuple(fields["mean"]), tuple(fields["std"])),
                labels=tuple(fields["label_names"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{error} is missing or of the wrong kind") from error
        if config.arch not in ARCHITECTURES or config.stem not in STEMS:
            raise ValueError(f"arch {config.arch!r} with stem {config.stem!r} is not known here")
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
                "pool_size": [-(-side // 32)] * 2,
                "first_conv": "conv1",
                "classifier": "fc",
                "num_classes": len(self.labels),
                "label_names": self.labels,
            },
        }


def save_checkpoint(folder: Path, config: ModelConfig, weights: dict[str, Tensor]) -> None:
    """Write `config.json` and `model.safetensors`. Raises UserError where the disk won't take them.

    The weights come last: who sees that they are new finds the config that belongs to them.
    """
    files.write_text(folder / CONFIG, config.to_json())
    write_tensors(folder / MODEL, weights)


def read_config(folder: Path) -> ModelConfig:
    """A checkpoint's `config.json`. Raises UserError where it is missing or broken."""
    file = folder / CONFIG
    try:
        return ModelConfig.from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{folder} is no checkpoint: it has no readable {CONFIG} ({error.strerror}).") from error
    except ValueError as error:
        raise UserError(f"{file} does not describe a model of ours: {error}.") from error


def load_checkpoint(folder: Path, device: torch.device) -> tuple[ResNet, ModelConfig]:
    """The model of a checkpoint, in evaluation mode, and how to use it. Raises UserError where it can't be used."""
    config = read_config(folder)
    tensors, _ = read_tensors(folder / MODEL)
    model = ResNet(config.arch, config.stem, len(config.labels))
    load_weights(model, tensors, str(folder / MODEL))
    return model.to(device).to(memory_format=torch.channels_last).eval(), config


def load_weights(model: ResNet, tensors: dict[str, Tensor], source: str) -> None:
    """Copy `tensors` into the model. Raises UserError that names the tensors which don't fit; then nothing changed."""
    own = model.state_dict()
    faults = [
        f"{name} is {_shape(tensor)} and should be {_shape(own[name])}"
        for name, tensor in tensors.items()
        if name in own and own[name].shape != tensor.shape
    ]
    faults += [f"{name} is not part of it" for name in tensors if name not in own]
    # Older files have no counters, and nothing uses them.
    faults += [f"{name} is missing" for name in own if name not in tensors and "num_batches_tracked" not in name]
    if faults:
        more = f", and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise UserError(f"{source} does not fit this network: {', '.join(faults[:4])}{more}.")
    for name, tensor in tensors.items():
        own[name].copy_(tensor)


def write_tensors(file: Path, tensors: dict[str, Tensor], header: dict[str, str] | None = None) -> None:
    """Put tensors in the place of `file`, with `header` and their sha256. Raises UserError where the disk won't take
    them and Diverged where a value is not finite; either way the old file stays.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if (name := _not_finite(ready)) is not None:
        raise Diverged(f"the values of {name} are no longer finite; try a new run with a lower --lr.")
    try:
        with files.replacing(file) as draft:
            save_file(ready, draft, metadata={"format": "pt", "sha256": _digest(ready)} | (header or {}))
    except SafetensorError as error:
        raise UserError(f"cannot write {file}: {error}. Make room; what was saved before is still there.") from error


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A file's tensors and header. Raises UserError where it is missing, truncated, changed or not finite."""
    try:
        with safe_open(file, "pt") as content:
            header = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise UserError(f"there is no file {file}.") from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} is truncated or is no safetensors file: {error}.") from error
    if "sha256" in header and header["sha256"] != _digest(tensors):
        raise UserError(f"{file} is damaged: its tensors do not match the sha256 in its header; get it again.")
    check_finite(tensors, file)
    return tensors, header


def check_finite(tensors: dict[str, Tensor], file: Path) -> None:
    """Raise UserError where a value is not finite."""
    if (name := _not_finite(tensors)) is not None:
        raise UserError(f"{file} is of no use: {name} has values that are not finite.")


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _not_finite(tensors: dict[str, Tensor]) -> str | None:
    return next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
