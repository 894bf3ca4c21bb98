"""Initial weights of a run: random, ImageNet's, a checkpoint's, or those of a state dict like torchvision's."""

import warnings
from collections.abc import Generator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

import torch
from torch import Tensor

from resnet_cifar import decode
from resnet_cifar.data.preprocess import CIFAR100, IMAGENET
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.model.checkpoint import CONFIG, LARGEST_CONFIG, MODEL, load_weights
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.model.tensors import check_finite, read_tensors
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.system import files
from resnet_cifar.system.background import in_background

_HEAD = ("fc.weight", "fc.bias")
_PATIENCE = 3  # seconds


@dataclass(frozen=True)
class Start:
    """Initial weights by name, None for random ones, and the normalization of the images they were trained on."""

    tensors: dict[str, Tensor] | None
    normalization: Normalization
    source: str
    """Name in messages."""


def read_start(recipe: Recipe) -> Generator[Progress, None, Start]:
    """Load the weights that `recipe.init` names. Raises UserError if they are unavailable."""
    if recipe.init == "scratch":
        return Start(None, CIFAR100, "scratch")
    if recipe.init == "imagenet":
        return Start((yield from _download_imagenet(recipe.arch)), IMAGENET, "the ImageNet weights")
    return read_file(Path(recipe.init))


def read_file(path: Path) -> Start:
    """Load the weights of a checkpoint folder, a .safetensors file or a .pth file.

    Without a `config.json` beside them they are assumed to be torchvision's, with ImageNet's normalization. Raises
    UserError if they cannot be used.
    """
    if path.is_dir():
        path = path / MODEL
    if not path.is_file():
        raise UserError(f"--init: there is no {path}; name a checkpoint folder, a .safetensors file or a .pth file.")
    tensors = read_tensors(path)[0] if path.suffix == ".safetensors" else _read_pth(path)
    return Start(tensors, _normalization_beside(path), str(path))


def build(recipe: Recipe, start: Start) -> ResNet:
    """Build the recipe's network with initial weights. Random ones are drawn from the recipe's seed.

    A head for another number of classes is replaced by a random one. Raises UserError if anything else does not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = ResNet(recipe.arch, recipe.stem, len(recipe.dataset.labels))
    if start.tensors is not None:
        own = model.state_dict()
        has_head = all(name in start.tensors for name in _HEAD)
        fits = has_head and all(start.tensors[name].shape == own[name].shape for name in _HEAD)
        head = {name: own[name] for name in _HEAD} if has_head and not fits else {}  # without one, load_weights refuses
        load_weights(model, start.tensors | head, start.source)
    return model


def _normalization_beside(path: Path) -> Normalization:
    """Read the normalization from the `config.json` beside a file, ours or timm's; ImageNet's if there is none."""
    try:
        fields = decode.parse(files.read_text(path.parent / CONFIG, LARGEST_CONFIG), CONFIG)
        fields = fields if "mean" in fields else fields["pretrained_cfg"]
        return decode.build(Normalization, {name: fields[name] for name in ("mean", "std")}, CONFIG)
    except (OSError, UserError, KeyError, TypeError):
        return IMAGENET


def _read_pth(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):  # about old formats, which can be read
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path} is truncated, or a pickle that contains more than tensors, which is never executed: {first}"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path} is not a state dict like torchvision's: it must map names to tensors.")
    check_finite(content, path)
    return content


def imagenet_available(arch: str) -> bool:
    """Whether the ImageNet weights are on this machine, or their address answers within a few seconds."""
    from torchvision.models import get_model_weights

    url = get_model_weights(arch)["IMAGENET1K_V1"].url
    if (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).exists():
        return True
    try:
        with urlopen(Request(url, method="HEAD"), timeout=_PATIENCE):
            return True
    except (OSError, HTTPException):
        return False


def _download_imagenet(arch: str) -> Generator[Progress, None, dict[str, Tensor]]:
    from torchvision.models import get_model_weights

    weights = get_model_weights(arch)["IMAGENET1K_V1"]

    def work() -> dict[str, Tensor]:
        return dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))

    partials = Path(torch.hub.get_dir()) / "checkpoints"
    total = int(weights.meta["_file_size"] * 2**20)  # torchvision counts it in MiB

    def progress() -> Progress:
        sizes = [file.stat().st_size for file in partials.glob(f"{Path(weights.url).name}*")]
        return Progress(phase="download", done=min(total, max(sizes, default=0)), total=total)

    try:
        return (yield from in_background(work, progress))
    except (OSError, RuntimeError, HTTPException) as error:
        raise UserError(
            f"cannot download the ImageNet weights from {weights.url}: {error}. Without a connection, name a file that "
            "contains them with --init PATH, or start from random weights with --init scratch."
        ) from error
