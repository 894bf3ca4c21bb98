"""ONNX export of a checkpoint, for runtimes without torch. A file is kept only if its logits equal the checkpoint's."""

import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.model.checkpoint import ModelConfig, load_checkpoint
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.system import files
from resnet_cifar.system.background import in_background

if TYPE_CHECKING:
    import onnx

ONNX = "model.onnx"

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_PROGRESS = Progress(phase="export", done=0, total=1)
_CPU = torch.device("cpu")
_OPSET = 18
_CHECKED_IMAGES = 16
_TOLERANCE = 1e-3  # of logits, which are around 10; runtimes sum in a different order


def can_export() -> bool:
    """Return whether the packages for ONNX export are installed."""
    return not _missing_packages()


def need_packages() -> None:
    """Raise UserError if a package for ONNX export is missing."""
    if missing := _missing_packages():
        raise UserError(
            f"ONNX export needs {' and '.join(missing)}; install with `pip install -r requirements-onnx.txt`."
        )


def export_onnx(folder: Path, target: Path) -> Generator[Progress, None, float]:
    """Write a checkpoint as an ONNX file and return the largest difference between its logits and the checkpoint's.

    Input `images`: (B, 3, image_size, image_size) float32, normalized as `config.json` says. Output `logits`:
    (B, classes) float32, before calibration. B is free. Image size, mean, std, labels and the two numbers of the
    calibration are in the file's metadata. Raises UserError where packages are missing or the logits differ.
    """
    return (yield from in_background(lambda: write_onnx(folder, target), lambda: _PROGRESS))


def write_onnx(folder: Path, target: Path) -> float:
    """Export as `export_onnx` does, without progress."""
    need_packages()
    import onnx

    model, config = load_checkpoint(folder, _CPU)
    model = model.to(memory_format=torch.contiguous_format)
    images = _noise(config)
    with tempfile.TemporaryDirectory(prefix="resnet_cifar-onnx-") as name:
        draft = Path(name) / target.name
        _trace(model, images, draft)
        exported = onnx.load(draft)
        _remove_traces(exported.graph)
        onnx.helper.set_model_props(exported, _metadata(config))
        onnx.save(exported, draft)
        difference = _largest_difference(model, images, draft)
        if not difference <= _TOLERANCE:  # NaN is refused too
            raise UserError(
                f"the ONNX file's logits differ from the checkpoint's by {difference:g}, more than {_TOLERANCE:g}; it "
                "was not kept. Try another version of torch, onnx or onnxruntime."
            )
        with files.replacing(target) as place:
            shutil.copyfile(draft, place)
    return difference


def _missing_packages() -> list[str]:
    return [name for name in _PACKAGES if find_spec(name) is None]


def _largest_difference(model: ResNet, images: Tensor, file: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    with torch.no_grad():
        return float((model(images) - torch.from_numpy(logits)).abs().max())


def _trace(model: ResNet, images: Tensor, file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
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
            raise UserError(f"torch cannot export this model to ONNX: {str(error).splitlines()[0]}.") from error


def _remove_traces(graph: "onnx.GraphProto") -> None:
    """Remove the exporter's debug metadata: its stack traces hold local paths of this project and of torch."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")


def _noise(config: ModelConfig) -> Tensor:
    """Draw images of noise, preprocessed: (16, 3, image_size, image_size) float32, always the same."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (_CHECKED_IMAGES, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Preprocess(config.image_size, config.normalization, _CPU)(noise).contiguous()


def _metadata(config: ModelConfig) -> dict[str, str]:
    return {
        "image_size": str(config.image_size),
        "mean": json.dumps(config.normalization.mean),
        "std": json.dumps(config.normalization.std),
        "label_names": json.dumps(config.labels),
        "temperature": str(config.calibration.temperature),
        "power": str(config.calibration.power),
    }
