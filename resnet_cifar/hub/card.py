"""Model card of a run: `card_template.md` is its text, this module computes the values and the Hub's metadata."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from resnet_cifar.events import RunStarted
from resnet_cifar.model.calibration import IDENTITY
from resnet_cifar.model.checkpoint import ModelConfig, read_config
from resnet_cifar.model.unknown import read_unknown
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.recipe.datasets import OwnData
from resnet_cifar.report.text import learns, percent, sizes, stage_rows
from resnet_cifar.runs.results import Results, read_results
from resnet_cifar.runs.run_dir import RunDir

CARD = "README.md"
CURVES = "curves.png"
CURVES_TEXT = "Loss and accuracy during the run"
TEMPLATE = Path(__file__).with_name("card_template.md")

_STEMS = {"stock": "torchvision's stem", "cifar": "a 3x3 stem without pooling, for small images"}
_DATA = {"cifar100": "CIFAR-100", "synthetic": "synthetic images"}
_OPTIMIZERS = {"sgd": "SGD with Nesterov momentum 0.9", "adamw": "AdamW"}
_STARTS = {"scratch": "random", "imagenet": "pretrained on ImageNet"}
_EXTREMES = 5  # classes that the card names at either end


def model_card(run: RunDir, repo: str, onnx: bool = False) -> ModelCard:
    """Build the card of a run with weights for `repo` (USER/NAME); `onnx`: mention an ONNX file.

    Raises UserError where the run's recipe, config or results cannot be read.
    """
    recipe, config = run.recipe(), read_config(run.path)
    results = read_results(run)
    name = repo.rpartition("/")[2]
    # Rendering needs Jinja2, which is installed with torch.
    return ModelCard.from_template(
        _metadata(recipe, config, results, name),
        template_path=str(TEMPLATE),
        title=name,
        repo=repo,
        onnx=onnx,
        **card_values(run, recipe, config, results),
    )


def card_values(run: RunDir, recipe: Recipe, config: ModelConfig, results: Results | None) -> dict[str, Any]:
    """Compute the values of the template that come from the run."""
    history = [event for event, _ in run.history()]
    started = next((event for event in history if isinstance(event, RunStarted)), None)
    trained_at = tuple(dict.fromkeys(size for stage in recipe.stages for size in stage.image_sizes))
    return {
        "network": f"{architecture_name(config.arch)} with {_STEMS[config.stem]}",
        "arch": config.arch,
        "known_elsewhere": config.known_elsewhere,
        "classes": len(config.labels),
        "image_size": config.image_size,
        "calibrated": config.calibration != IDENTITY,
        "power": f"{config.calibration.power:.4f}",
        "temperature": f"{config.calibration.temperature:.4f}",
        "unknown": read_unknown(run.path),
        "data": _DATA.get(recipe.data, recipe.data) if recipe.own is None else _described(recipe.own),
        "own": None if recipe.own is None else _own(recipe.own),
        "trained_at": sizes(trained_at),
        "used_at": None if trained_at == (config.image_size,) else sizes((config.image_size,)),
        "curves_file": CURVES,
        "curves_text": CURVES_TEXT,
        "recipe": recipe,
        "optimizers": " and ".join(
            sorted({_OPTIMIZERS.get(stage.optimizer, stage.optimizer) for stage in recipe.stages})
        ),
        "start": _STARTS.get(recipe.init, Path(recipe.init).name),  # no local folder
        "teacher": Path(recipe.teacher).name if recipe.teacher else None,
        "device": started.device if started else None,
        "precision": started.precision if started else None,
        "planned": [_cells(_planned(stage)) for stage in recipe.stages],
        "trained": [_cells(row) for row in stage_rows(history)],
        "results": _results(results) if results else None,
    }


def _described(own: OwnData) -> str:
    return f"{own.train_images + own.val_images + own.test_images:,} images of {len(own.labels)} classes"


def _own(own: OwnData) -> dict[str, Any]:
    """Describe a person's own images by their numbers."""
    splits = {"train": own.train_images, "val": own.val_images, "test": own.test_images}
    classes = zip(own.labels, map("{:,}".format, own.train_counts), strict=True)
    return {
        "images": _described(own),
        "splits": ", ".join(f"{images:,} {name}" for name, images in splits.items()),
        "weighted": own.class_weights is not None,
        "classes": [_cells(row) for row in classes],
    }


def _metadata(recipe: Recipe, config: ModelConfig, results: Results | None, name: str) -> ModelCardData:
    """Build the YAML of the card. Only a run on CIFAR-100 names a data set of the Hub, and its results there."""
    real = recipe.data == "cifar100"
    measured: dict[str, Any] = {"model_name": name, "eval_results": _eval_results(results)} if real and results else {}
    return ModelCardData(
        license="mit",
        library_name="timm" if config.known_elsewhere else None,
        pipeline_tag="image-classification",
        tags=["image-classification", config.arch, recipe.data, "safetensors"],
        datasets=["uoft-cs/cifar100"] if real else None,
        metrics=["accuracy"],
        **measured,
    )


def _eval_results(results: Results) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type="uoft-cs/cifar100",
            dataset_name="CIFAR-100",
            dataset_split="test",
            metric_type="accuracy",
            metric_name=f"{text} accuracy, without test-time augmentation",
            metric_value=round(getattr(results, key), 4),
        )
        for key, text in (("top1", "top-1"), ("top5", "top-5"))
    ]


def architecture_name(arch: str) -> str:
    """Format an architecture for people: ResNet-34 for `resnet34`."""
    return f"ResNet-{arch.removeprefix('resnet')}" if ARCHITECTURES[arch].known_elsewhere else f"ResNet ({arch})"


def _results(results: Results) -> dict[str, Any]:
    """Format test results; None for the superclass accuracy of a data set without superclasses."""
    ranked = sorted(results.per_class_top1.items(), key=lambda item: item[1])
    return {
        "images": f"{results.images:,}",
        "loss": f"{results.loss:.4f}" if math.isfinite(results.loss) else "not finite",
        "top1": percent(results.top1),
        "top5": percent(results.top5),
        "coarse_top1": None if results.coarse_top1 is None else percent(results.coarse_top1),
        "ece": None if results.ece is None else percent(results.ece),
        "worst": _classes(ranked[:_EXTREMES]),
        "best": _classes(ranked[: -_EXTREMES - 1 : -1]),
    }


def _classes(accuracies: Iterable[tuple[str, float]]) -> str:
    names = ((escape(label.replace("_", " "), quote=False), percent(top1)) for label, top1 in accuracies)
    return ", ".join(f"{name} ({top1})" for name, top1 in names)


def _planned(stage: Stage) -> tuple[str, ...]:
    """Format a stage of the recipe as a row of the card's first table."""
    return (
        stage.name,
        learns(stage.trainable),
        str(stage.epochs),
        f"{stage.lr:g}",
        sizes(stage.image_sizes),
        str(stage.batch_size),
        _augmentation(stage),
    )


def _augmentation(stage: Stage) -> str:
    """Format the augmentation of each part of a stage, with the epoch (counted from 1) at which it begins."""
    texts, epoch = [], 1
    for part in stage.parts():
        since = f"from epoch {epoch} on " if epoch > 1 else ""
        texts.append(since + _transforms(part.augmentation))
        epoch += part.epochs
    return "; ".join(texts)


def _transforms(augmentation: Augmentation) -> str:
    """Format an augmentation by its name, or by the settings that change something."""
    name = next((name for name, known in AUGMENTATIONS.items() if known == augmentation), None)
    fields = ((field.replace("_", " "), value) for field, value in asdict(augmentation).items())
    words = [field if value is True else f"{field} {value}" for field, value in fields if value not in (0, "none")]
    return name or ", ".join(words)


def _cells(row: Iterable[str]) -> list[str]:
    """Cells of a Markdown table, in which `|` would begin a new one and `<` a tag."""
    return [escape(cell.replace("|", " "), quote=False) for cell in row]
