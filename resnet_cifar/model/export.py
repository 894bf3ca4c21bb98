"""A checkpoint as ONNX, for runtimes without torch. The file is kept only if it answers as the checkpoint does."""

import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.model.checkpoint import ModelConfig, load_checkpoint
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.system import files
from resnet_cifar.system.background import in_background

ONNX = "model.onnx"

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_PROGRESS = Progress(phase="export", done=0, total=1)
_CPU = torch.device("cpu")
_OPSET = 18
_PICTURES = 16
_TOLERANCE = 1e-3  # of logits, which reach tens; runtimes add up in another order


def can_export() -> bool:
    """Whether the packages for it are there."""
    return not _missing()


def need_packages() -> None:
    """Raise UserError where a package for it is missing."""
    if missing := _missing():
        raise UserError(f"{' and '.join(missing)} can't be imported; run `pip install -r requirements-onnx.txt`.")


def export_onnx(folder: Path, target: Path) -> Generator[Progress, None, float]:
    """Write a checkpoint as an ONNX file, and say by how much its logits differ at most.

    Its input `images` is (B, 3, image_size, image_size) float32, normalised as `config.json` says; its output is
    `logits` (B, classes); B is free. Mean, std, size and labels stand in its metadata too. Raises UserError where
    packages for it are missing, or it answers otherwise.
    """
    return (yield from in_background(lambda: write_onnx(folder, target), lambda: _PROGRESS))


def write_onnx(folder: Path, target: Path) -> float:
    """The same at once."""
    need_packages()
    import onnx

    model, config = load_checkpoint(folder, _CPU)
    model = model.to(memory_format=torch.contiguous_format)
    images = _images(config)
    with tempfile.TemporaryDirectory(prefix="resnet_cifar-onnx-") as name:
        draft = Path(name) / target.name
        _trace(model, images, draft)
        exported = onnx.load(draft)
        onnx.helper.set_model_props(exported, _facts(config))
        onnx.save(exported, draft)
        difference = _difference(model, images, draft)
        if not difference <= _TOLERANCE:
            raise UserError(f"the ONNX file's logits differ by {difference:g} from the checkpoint's; it was not kept.")
        with files.replacing(target) as place:
            shutil.copyfile(draft, place)
    return difference


def _missing() -> list[str]:
    return [name for name in _PACKAGES if find_spec(name) is None]


def _difference(model: ResNet, images: Tensor, file: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    with torch.no_grad():
        return float((model(images) - torch.from_numpy(logits)).abs().max())


def _trace(model: ResNet, images: Tensor, file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            torch.onnx.export(
                model,
                (images,),
                file,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
                opset_version=_OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except RuntimeError as error:
            raise UserError(f"torch can't export this model: {str(error).splitlines()[0]}.") from error


def _images(config: ModelConfig) -> Tensor:
    """Images of noise, (16, 3, image_size, image_size), preprocessed."""
    noise = torch.randint(0, 256, (_PICTURES, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Preprocess(config.image_size, config.normalization, _CPU)(noise).contiguous()


def _facts(config: ModelConfig) -> dict[str, str]:
    return {
        "image_size": str(config.image_size),
        "mean": json.dumps(config.normalization.mean),
        "std": json.dumps(config.normalization.std),
        "label_names": json.dumps(config.labels),
    }
