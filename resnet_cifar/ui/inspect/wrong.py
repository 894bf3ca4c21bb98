"""The view of single images: the worst mistakes, and likely label errors with what people saw in them."""

from collections.abc import Mapping
from typing import Any

from resnet_cifar.inspection import label_errors, mistakes
from resnet_cifar.inspection.label_errors import Verdict
from resnet_cifar.inspection.predictions import Predictions
from resnet_cifar.report.text import percent
from resnet_cifar.ui.inspect.inspected import Inspected
from resnet_cifar.ui.inspect.tiles import tiles, words
from resnet_cifar.ui.inspect.views import MOST_TILES, name_of, split_of


def worst(inspected: Inspected, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mistakes with the highest loss; of one class if it is named."""
    name = name_of(question)
    answered = inspected.needed(name, split_of(question))
    label = question.get("label")
    found = mistakes.worst(answered, MOST_TILES, None if label is None else int(label))
    shown = tiles(inspected, name, answered, [one.row for one in found])
    for tile, one in zip(shown["tiles"], found, strict=True):
        tile["loss"] = f"loss {one.loss:.2f}"
    most = f"The {len(found)} mistakes with the highest loss" if found else "There are no mistakes"
    of_class = "" if label is None else f" on images of {words(answered.spec.labels[int(label)])}"
    return {**shown, "said": f"{most}{of_class}{', the highest first' if found else ''}."}


def suspects(inspected: Inspected, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the images whose label is probably wrong, with the verdict of people who looked at them."""
    name = name_of(question)
    answered = inspected.needed(name, split_of(question))
    rows = label_errors.suspects(answered)
    verdicts = label_errors.verdicts(answered)
    shown = tiles(inspected, name, answered, rows[:MOST_TILES])
    for tile in shown["tiles"]:
        if (verdict := verdicts.get(tile["row"])) is not None:
            tile["verdict"] = _in_words(verdict, answered, tile["truth"])
    first = f", the {MOST_TILES} most suspect first" if len(rows) > MOST_TILES else ""
    said = f"The model doubts the label of {len(rows):,} of {len(answered):,} images{first} (confident learning)."
    return {**shown, "said": f"{said} {_corrected(answered)}".strip()}


def _in_words(verdict: Verdict, answered: Predictions, truth: str) -> str:
    votes = {
        words(answered.spec.labels[verdict.guess]): verdict.guessed,
        truth: verdict.given,
        "both": verdict.both,
        "neither": verdict.neither,
    }
    return "people: " + ", ".join(f"{count} {name}" for name, count in votes.items() if count)


def _corrected(answered: Predictions) -> str:
    """Say what top-1 would be on corrected labels, beside the official one."""
    found = label_errors.on_corrected_labels(answered)
    if found is None:
        return ""
    official = (answered.predicted == answered.labels).double().mean().item()
    return (
        "Five people each looked at the images that were suspected before, and most of them agreed on another label "
        f"for {found.images}: on those, the model is right on {percent(found.official_top1)} by the official labels "
        f"and on {percent(found.top1)} by the corrected ones. On all images, its top-1 is {percent(official)} by the "
        f"official labels, and would be {percent(found.all_top1)} with these corrections."
    )
