"""The model card of a run: what it is, how it came about, how good it is and how to load it, in the Hub's form."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from resnet_cifar.events import RunStarted
from resnet_cifar.model.checkpoint import ModelConfig, read_config
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.report.text import STAGE_COLUMNS, learns, percent, sizes, stage_rows
from resnet_cifar.runs.run_dir import RunDir

CARD = "README.md"
CURVES = "curves.png"

_STEMS = {"stock": "torchvision's own stem", "cifar": "a 3x3 stem without pooling, for small images"}
_TIMM = """```python
import timm
model = timm.create_model("hf-hub:{repo}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
```"""
_TORCHVISION = """```python
weights = safetensors.torch.load_file(huggingface_hub.hf_hub_download("{repo}", "model.safetensors"))
model = torchvision.models.{arch}(num_classes=100)
model.load_state_dict(weights)
```"""
_OURS = """```python
from resnet_cifar.hub.catalog import load_classifier
classifier = load_classifier("{repo}")
print(classifier.predict([PIL.Image.open("cat.jpg").convert("RGB")])[0].probabilities)
```"""
_ONNX = """```python
session = onnxruntime.InferenceSession(huggingface_hub.hf_hub_download("{repo}", "model.onnx"))
logits = session.run(["logits"], {{"images": images}})[0]  # (B, 3, {size}, {size}) float32, normalised
```"""
_NO_TTA = "without test-time augmentation"
_CITATION = """@techreport{krizhevsky2009learning,
  author = {Krizhevsky, Alex},
  title = {Learning Multiple Layers of Features from Tiny Images},
  institution = {University of Toronto},
  year = {2009}
}

@inproceedings{he2016deep,
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title = {Deep Residual Learning for Image Recognition},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2016}
}"""


def parse_json(text: str) -> Any:
    """Parse JSON of Python's; NaN and Infinity, which other parsers refuse, become None."""
    return json.loads(text, parse_constant=lambda _: None)


def model_card(run: RunDir, repo: str, onnx: bool = False) -> ModelCard:
    """The card of a run that has kept weights, as it will stand in `repo` (USER/NAME), with an ONNX file or without.

    Raises UserError where the run's recipe or config can't be read.
    """
    recipe, config = run.recipe(), read_config(run.path)
    results = parse_json(run.eval_file.read_text(encoding="utf-8")) if run.eval_file.exists() else None
    name = repo.rpartition("/")[2]
    parts = [
        f"# {name}",
        _what(recipe, config, results),
        f"![Loss and accuracy along the run]({CURVES})",
        "## How to use it",
        _loading(repo, config, onnx),
        "## How it was trained",
        _training(run, recipe),
        *(("## How good it is", _results(results)) if results else ()),
        "## Limits",
        _limits(recipe, config),
        "## Citation",
        f"```bibtex\n{_CITATION}\n```",
    ]
    metadata = _metadata(recipe, config, results, name).to_yaml()
    return ModelCard(f"---\n{metadata}\n---\n\n" + "\n\n".join(parts) + "\n")


def _metadata(recipe: Recipe, config: ModelConfig, results: dict[str, Any] | None, name: str) -> ModelCardData:
    real = recipe.data == "cifar100"
    told: dict[str, Any] = {"model_name": name, "eval_results": _eval_results(results)} if real and results else {}
    return ModelCardData(
        license="mit",
        library_name="timm" if config.known_elsewhere else None,
        pipeline_tag="image-classification",
        tags=["image-classification", config.arch, "cifar100", "safetensors"],
        datasets=["uoft-cs/cifar100"] if real else None,
        metrics=["accuracy"],
        **told,
    )


def _eval_results(results: dict[str, Any]) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type="uoft-cs/cifar100",
            dataset_name="CIFAR-100",
            dataset_split="test",
            metric_type="accuracy",
            metric_name=f"{text}, {_NO_TTA}",
            metric_value=round(results[key], 4),
        )
        for key, text in (("top1", "top-1 accuracy"), ("top5", "top-5 accuracy"))
    ]


def architecture_name(arch: str) -> str:
    """`resnet34` as people write it."""
    return f"ResNet-{arch.removeprefix('resnet')}" if ARCHITECTURES[arch].known_elsewhere else f"ResNet ({arch})"


def _what(recipe: Recipe, config: ModelConfig, results: dict[str, Any] | None) -> str:
    network = f"{architecture_name(config.arch)} with {_STEMS[config.stem]}"
    data = "CIFAR-100" if recipe.data == "cifar100" else "synthetic images, made to try the trainer out with"
    good = f" It classifies {percent(results['top1'])} of the test images correctly, {_NO_TTA}." if results else ""
    trained_at = tuple(dict.fromkeys(size for stage in recipe.stages for size in stage.image_sizes))
    used_at = f", to be used at {config.image_size} px" if trained_at != (config.image_size,) else ""
    return f"A {network}, trained on {data} at {sizes(trained_at)}{used_at}.{good}"


def _loading(repo: str, config: ModelConfig, onnx: bool) -> str:
    parts = [_OURS.format(repo=repo)]
    if config.known_elsewhere:
        parts = [_TIMM.format(repo=repo), _TORCHVISION.format(repo=repo, arch=config.arch), *parts]
    else:
        parts.append("This network is not one that torchvision, timm or transformers can build.")
    if onnx:
        parts.append(_ONNX.format(repo=repo, size=config.image_size))
    return "\n\n".join(parts)


def _training(run: RunDir, recipe: Recipe) -> str:
    history = [event for event, _ in run.history()]
    begun = next((event for event in history if isinstance(event, RunStarted)), None)
    where = f" on {begun.device} in {begun.precision}" if begun else ""
    start = Path(recipe.init).name if recipe.init not in ("scratch", "imagenet") else recipe.init
    taught = f", taught by {Path(recipe.teacher).name}" if recipe.teacher else ""
    head = (
        f"Recipe `{recipe.name}`{where}: weights from {start}{taught}, seed {recipe.seed}, SGD with Nesterov "
        "momentum 0.9; in each stage the learning rate warms up and falls to 0. All that was asked for is in "
        "`recipe.json`, all that happened in `metrics.jsonl`."
    )
    asked = [
        (
            stage.name,
            learns(stage.trainable),
            str(stage.epochs),
            f"{stage.lr:g}",
            sizes(stage.image_sizes),
            str(stage.batch_size),
            _augmentation(stage),
        )
        for stage in recipe.stages
    ]
    columns = ("stage", "learns", "epochs", "learning rate", "size", "batch", "augmentation")
    return "\n\n".join((head, _markdown(columns, asked), _markdown(STAGE_COLUMNS, stage_rows(history))))


def _results(results: dict[str, Any]) -> str:
    rows = [
        ("top-1", percent(results["top1"])),
        ("top-5", percent(results["top5"])),
        ("loss", "not finite" if results["loss"] is None else f"{results['loss']:.4f}"),
        ("superclass top-1", percent(results["coarse_top1"])),
    ]
    ranked = sorted(results["per_class_top1"].items(), key=lambda item: item[1])
    worst, best = ", ".join(map(_class, ranked[:5])), ", ".join(map(_class, ranked[:-6:-1]))
    head = f"On the {results['images']:,} test images, looked at once, {_NO_TTA}:"
    return f"{head}\n\n{_markdown(('measure', 'test'), rows)}\n\nIt knows best: {best}.\n\nIt knows least: {worst}."


def _limits(recipe: Recipe, config: ModelConfig) -> str:
    if recipe.data != "cifar100":
        return "It has never seen a real image, and is of no use but to show that the trainer works."
    return (
        f"It knows {len(config.labels)} classes and answers with one of them whatever it is shown. It learned from "
        "images of 32 x 32 pixels, and sees little more of a larger one: only the middle square counts. CIFAR-100 "
        "was gathered from the web before 2009; its people and its scenes are of that time. Nothing that matters "
        "should hang on its answer."
    )


def _augmentation(stage: Stage) -> str:
    """Augmentation of each part of a stage, and from which epoch on, where there are several."""
    told, epoch = [], 1
    for part in stage.parts():
        since = f"from epoch {epoch} on " if epoch > 1 else ""
        told.append(since + _transforms(part.augmentation))
        epoch += part.epochs
    return "; ".join(told)


def _transforms(augmentation: Augmentation) -> str:
    name = next((name for name, known in AUGMENTATIONS.items() if known == augmentation), None)
    fields = ((field.replace("_", " "), value) for field, value in asdict(augmentation).items())
    words = [field if value is True else f"{field} {value}" for field, value in fields if value not in (0, "none")]
    return name or ", ".join(words)


def _class(item: tuple[str, float]) -> str:
    return f"{item[0].replace('_', ' ')} ({percent(item[1])})"


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', ' ') for cell in line)} |" for line in lines)
