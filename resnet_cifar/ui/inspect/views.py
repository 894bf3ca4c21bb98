"""What each view of the Inspect tab shows of a run's stored predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

from resnet_cifar.errors import UserError
from resnet_cifar.inspection import confusion
from resnet_cifar.inspection.predictions import Predictions
from resnet_cifar.report.text import percent
from resnet_cifar.ui.inspect.figures import confusion_figure, reliability_figure
from resnet_cifar.ui.inspect.inspected import SPLITS, Inspected
from resnet_cifar.ui.inspect.tiles import tiles, words

MOST_TILES = 48  # tiles at once


def name_of(question: Mapping[str, Any], key: str = "run") -> str:
    """Return the model that a question is about."""
    return str(question[key])


def split_of(question: Mapping[str, Any]) -> str:
    """Return the split that a question is about. Raises UserError for any other word."""
    if question["split"] not in SPLITS:
        raise UserError(f"split is {question['split']!r}; it must be {' or '.join(SPLITS)}.")
    return str(question["split"])


def by_name(labels: Sequence[str]) -> list[tuple[int, str]]:
    """Return the classes as words with their numbers, in alphabetical order."""
    return sorted(((number, words(label)) for number, label in enumerate(labels)), key=lambda one: one[1])


def numbers(answered: Predictions) -> list[dict[str, str]]:
    """Return the numbers of the header, the same as those of `--evaluate`."""
    found = answered.summary()
    shown = {"top-1": percent(found["top1"]), "top-5": percent(found["top5"])}
    if found["coarse_top1"] is not None:
        shown["superclass top-1"] = percent(found["coarse_top1"])
    shown |= {"loss": f"{found['loss']:.4f}", "calibration error": percent(found["ece"])}
    return [{"name": name, "value": value} for name, value in shown.items()]


def calibration(inspected: Inspected, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reliability diagram and what it says in words."""
    answered = inspected.needed(name_of(question), split_of(question))
    bins = answered.reliability()
    images = sum(bins.images)
    mean = sum(count * value for count, value in zip(bins.images, bins.confidence, strict=True)) / max(1, images)
    right = sum(count * value for count, value in zip(bins.images, bins.accuracy, strict=True)) / max(1, images)
    kind = "more confident than right" if mean > right else "more often right than confident"
    said = (
        f"Its mean confidence is {percent(mean)}, and it is right on {percent(right)}: {kind}. The calibration error, "
        f"{percent(bins.ece)}, is the mean gap between the two over {len(bins.images)} bins of confidence, each "
        f"weighted by its images. Confidences are calibrated on val."
    )
    return {"figure": reliability_figure(bins), "said": said}


def confused(inspected: Inspected, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the matrix, by class or by superclass, and the pairs that are confused most."""
    answered = inspected.needed(name_of(question), split_of(question))
    spec, counts = answered.spec, confusion.confusion(answered)
    pairs = [
        {
            "true": pair.true,
            "predicted": pair.predicted,
            "names": [words(spec.labels[pair.true]), words(spec.labels[pair.predicted])],
            "count": f"{pair.count} of {round(pair.count / pair.share)}",
        }
        for pair in confusion.most_confused(counts, spec)
    ]
    kinds = [words(name) for name in spec.superclasses]
    if question.get("coarse") and kinds:
        order = list(range(len(kinds)))
        figure = confusion_figure(confusion.coarse_confusion(counts, spec).tolist(), kinds)
    else:
        order = confusion.superclass_order(spec)
        names = [words(spec.labels[label]) for label in order]
        groups = [kinds[spec.superclass_of[label]] for label in order] if kinds else ()
        figure = confusion_figure(counts[order][:, order].tolist(), names, groups)
    return {"figure": figure, "order": order, "pairs": pairs, "coarse": bool(kinds)}


def cell(inspected: Inspected, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the images of one class, or superclass, that were taken for another one, the most confident first."""
    name = name_of(question)
    answered = inspected.needed(name, split_of(question))
    spec = answered.spec
    true, predicted = int(question["true"]), int(question["predicted"])
    coarse = bool(question.get("coarse"))
    names = spec.superclasses if coarse else spec.labels
    if not (0 <= true < len(names) and 0 <= predicted < len(names)):
        raise UserError(f"there is no cell {true}, {predicted}; numbers go from 0 to {len(names) - 1}.")
    rows = _rows_of_superclasses(answered, true, predicted) if coarse else confusion.rows_of(answered, true, predicted)
    counted = "1 image" if len(rows) == 1 else f"{len(rows):,} images"
    title = f"{words(names[true])}, taken for {words(names[predicted])}: {counted}"
    more = f", the {MOST_TILES} most confident ones" if len(rows) > MOST_TILES else ""
    return {"title": title + more, **tiles(inspected, name, answered, rows[:MOST_TILES])}


def _rows_of_superclasses(answered: Predictions, true: int, predicted: int) -> list[int]:
    """Rows whose superclass is `true` and whose predicted one is `predicted`, the most confident first."""
    of = answered.spec.superclass_of
    labels, said = answered.labels.tolist(), answered.predicted.tolist()
    rows = [
        row
        for row, (label, one) in enumerate(zip(labels, said, strict=True))
        if (of[label], of[one]) == (true, predicted)
    ]
    return sorted(rows, key=lambda row: -float(answered.probabilities[row, said[row]]))


def classes(inspected: Inspected, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the accuracy on each class, the highest first, beside that of a second run if one is chosen."""
    split = split_of(question)
    answered = inspected.needed(name_of(question), split)
    spec = answered.spec
    accuracies = confusion.class_accuracies(confusion.confusion(answered))
    second: dict[int, float] = {}
    missing = ""
    if question.get("other"):
        other = inspected.predictions(name_of(question, "other"), split)
        if other is None:
            missing = f"{question['other']} has not been inspected on {split} yet."
        elif other.spec.labels != spec.labels:
            missing = f"{question['other']} knows other classes."
        else:
            second = {one.label: one.top1 for one in confusion.class_accuracies(confusion.confusion(other))}
    rows = [
        {
            "label": one.label,
            "name": words(spec.labels[one.label]),
            "group": spec.superclass_of[one.label] if spec.superclass_of else 0,
            "top1": round(one.top1, 4),
            "other": round(second[one.label], 4) if one.label in second else None,
        }
        for one in accuracies
    ]
    return {"rows": rows, "groups": [words(name) for name in spec.superclasses], "missing": missing}
