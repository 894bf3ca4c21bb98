"""A checkpoint as ONNX, for runtimes without torch. The file is kept only if it answers as the checkpoint does."""

import json
import logging
import warnings
from collections.abc import Generator
from pathlib import Path

import torch
from torch import Tensor

from resnet_cifar import files
from resnet_cifar.background import in_background
from resnet_cifar.checkpoint import MODEL, ModelConfig, load_checkpoint
from resnet_cifar.data import Preprocess
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.model import ResNet

ONNX = "model.onnx"

_CPU = torch.device("cpu")
_OPSET = 18
_PICTURES = 16
_TOLERANCE = 1e-3  # of logits, which reach tens; runtimes add up in another order


def export_onnx(folder: Path) -> Generator[Progress, None, float]:
    """Write `model.onnx` beside a checkpoint's weights; by how much its logits differ at most.

    Its input `pictures` is (B, 3, image_size, image_size) float32, normalised as `config.json` says; its output is
    `logits` (B, classes); B is free. Mean, std, size and labels stand in its metadata too. Raises UserError where the
    packages for it are missing, or it answers otherwise.
    """
    return (yield from in_background(lambda: _export(folder), lambda: Progress(phase="export", done=0, total=1)))


def exported(folder: Path) -> Path | None:
    """The ONNX file of a checkpoint, if there is one that is no older than its weights."""
    file = folder / ONNX
    if not file.is_file() or file.stat().st_mtime < (folder / MODEL).stat().st_mtime:
        return None
    return file


def _export(folder: Path) -> float:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  what torch exports with
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; run `pip install -r requirements-onnx.txt`.") from error
    model, config = load_checkpoint(folder, _CPU)
    model = model.to(memory_format=torch.contiguous_format)
    pictures = _pictures(config)
    with files.replacing(folder / ONNX) as draft:
        _trace(model, pictures, draft)
        exported = onnx.load(draft)
        onnx.helper.set_model_props(exported, _facts(config))
        onnx.save(exported, draft)
        session = onnxruntime.InferenceSession(draft, providers=["CPUExecutionProvider"])
        with torch.no_grad():
            ours = model(pictures)
        theirs = torch.from_numpy(session.run(["logits"], {"pictures": pictures.numpy()})[0])
        difference = float((ours - theirs).abs().max())
        if not difference <= _TOLERANCE:
            raise UserError(f"the ONNX file's logits differ by {difference:g} from the checkpoint's; it was not kept.")
    return difference


def _trace(model: ResNet, pictures: Tensor, file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            model,
            (pictures,),
            file,
            input_names=["pictures"],
            output_names=["logits"],
            dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _pictures(config: ModelConfig) -> Tensor:
    """Pictures of noise, (16, 3, image_size, image_size), preprocessed."""
    noise = torch.randint(0, 256, (_PICTURES, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Preprocess(config.image_size, config.normalization, _CPU)(noise).contiguous()


def _facts(config: ModelConfig) -> dict[str, str]:
    return {
        "image_size": str(config.image_size),
        "mean": json.dumps(config.normalization.mean),
        "std": json.dumps(config.normalization.std),
        "label_names": json.dumps(config.labels),
    }
