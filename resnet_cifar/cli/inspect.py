"""`--inspect`: what a model knows and where it fails, as tables or JSON."""

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from resnet_cifar.cli.chosen import data_folder
from resnet_cifar.events import Metrics
from resnet_cifar.report.text import metrics_line, percent, table
from resnet_cifar.runs.run_dir import RunDir, locate

if TYPE_CHECKING:
    from resnet_cifar.inspection.predictions import Predictions

_ROWS = 20
_CLASSES = 10


def inspect(args: argparse.Namespace) -> int:
    """Show what the stored predictions of a run tell; evaluate it first where there are none."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.inspection.predictions import compute, stored
    from resnet_cifar.system.device import choose_device

    run, device = RunDir(locate(args.inspect)), choose_device(args.device)
    predictions = stored(run, args.split)
    if predictions is None:
        predictions = watch(compute(run, args.split, data_folder(args), device))
    found = facts(predictions)
    print(json.dumps(found, indent=2) if args.json else "\n\n".join(sections(found)))
    return 0


def facts(predictions: "Predictions") -> dict[str, Any]:
    """Collect everything that is known, as JSON values. Rows count the images of the split from 0."""
    from resnet_cifar.inspection.confusion import confusion, most_confused
    from resnet_cifar.inspection.label_errors import on_corrected_labels, suspects
    from resnet_cifar.inspection.mistakes import worst

    labels, reliability = predictions.spec.labels, predictions.reliability()
    bins = zip(reliability.confidence, reliability.accuracy, reliability.images, strict=True)
    found, corrected = suspects(predictions), on_corrected_labels(predictions)
    return {
        "split": predictions.split,
        **predictions.summary(),
        "calibration": dataclasses.asdict(predictions.calibration),
        "reliability": [dict(zip(("confidence", "accuracy", "images"), row, strict=True)) for row in bins],
        "most_confused": [_named(pair, labels) for pair in most_confused(confusion(predictions), predictions.spec)],
        "worst_mistakes": [_named(mistake, labels) for mistake in worst(predictions, _ROWS)],
        "suspected_labels": len(found),
        "label_errors": _label_errors(predictions, found[:_ROWS]),
        "corrected_labels": None if corrected is None else dataclasses.asdict(corrected),
    }


def _label_errors(predictions: "Predictions", rows: list[int]) -> list[dict[str, Any]]:
    from resnet_cifar.inspection.label_errors import verdicts
    from resnet_cifar.inspection.mistakes import described

    labels, rated = predictions.spec.labels, verdicts(predictions)
    raters = [_named(rated[row], labels) if row in rated else None for row in rows]
    shown = [_named(image, labels) for image in described(predictions, rows)]
    return [image | {"raters": votes} for image, votes in zip(shown, raters, strict=True)]


def _named(entry: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    """Fields of a dataclass, with the names of classes instead of their numbers."""
    fields = dataclasses.asdict(entry)
    return fields | {key: labels[fields[key]] for key in ("true", "label", "predicted", "guess") if key in fields}


def sections(found: dict[str, Any]) -> list[str]:
    """Format the facts as titled tables."""
    metrics = Metrics(loss=found["loss"], top1=found["top1"], top5=found["top5"])
    head = metrics_line(found["split"], metrics, found["coarse_top1"], found["ece"])
    if found["corrected_labels"]:
        head += "\n" + corrected_line(**found["corrected_labels"])
    return [
        f"{head}\non {found['images']:,} images",
        _reliability(found["reliability"]),
        "Most confused:\n"
        + table(
            ("class", "taken for", "images", "of the class"),
            [
                (row["true"], row["predicted"], str(row["count"]), percent(row["share"]))
                for row in found["most_confused"]
            ],
        ),
        _classes(found["per_class_top1"]),
        "Worst mistakes:\n" + table(_IMAGE, [_image(row) for row in found["worst_mistakes"]]),
        f"Likely label errors, the first of {found['suspected_labels']:,}:\n"
        + table((*_IMAGE, "raters"), [(*_image(row), _votes(row)) for row in found["label_errors"]]),
    ]


_IMAGE = ("row", "label", "classified as", "confidence", "loss")


def _image(row: dict[str, Any]) -> tuple[str, ...]:
    return (str(row["row"]), row["label"], row["predicted"], percent(row["confidence"]), f"{row['loss']:.2f}")


def _votes(row: dict[str, Any]) -> str:
    """Format the votes of five raters."""
    votes = row["raters"]
    if votes is None:
        return "-"
    seen = {
        row["label"]: votes["given"],
        votes["guess"]: votes["guessed"],
        "both": votes["both"],
        "neither": votes["neither"],
    }
    return ", ".join(f"{name} {count}" for name, count in seen.items() if count)


def _reliability(bins: list[dict[str, float]]) -> str:
    """Format the bins, each with its highest confidence; one without images has no means."""
    rows = []
    for number, row in enumerate(bins, 1):
        means = (percent(row["confidence"]), percent(row["accuracy"])) if row["images"] else ("-", "-")
        rows.append((percent(number / len(bins)), *means, f"{row['images']:,}"))
    return "Reliability:\n" + table(("up to", "mean confidence", "accuracy", "images"), rows)


def _classes(top1: dict[str, float]) -> str:
    """Format the classes with the lowest and the highest accuracy, side by side."""
    best = sorted(top1.items(), key=lambda entry: -entry[1])
    pairs = zip(best[::-1][:_CLASSES], best[:_CLASSES], strict=True)
    rows = [(worse, percent(low), better, percent(high)) for (worse, low), (better, high) in pairs]
    return "Classes:\n" + table(("lowest", "top-1", "highest", "top-1"), rows)


def corrected_line(images: int, official_top1: float, top1: float, all_top1: float) -> str:
    """Format the accuracy on corrected labels in one line."""
    return (
        f"on the {images} images whose label raters corrected: {percent(top1)}, by the official labels "
        f"{percent(official_top1)}; on all images with these corrections: {percent(all_top1)}"
    )
