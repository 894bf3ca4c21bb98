"""An editable table of a recipe's stages. A wrong value gets an error message in its own cell."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.config import EVERYTHING, HEAD, Recipe, Stage

Rows = list[dict[str, Any]]
Faults = dict[str, str]
"""Error messages by cell, `<row>.<field>`."""

LEARNS = {"everything": EVERYTHING} | {
    f"{EVERYTHING[first]} to fc" if first < 5 else "fc (the head)": EVERYTHING[first:] for first in range(5, 0, -1)
}
_COLUMNS = {
    "name": "Stage",
    "learns": "Learns",
    "epochs": "Epochs",
    "lr": "Learning rate",
    "image_size": "Image size",
    "batch_size": "Batch size",
    "augmentation": "Augmentation",
}
_NUMBERS: dict[str, Callable[[str], float]] = {"epochs": int, "lr": float, "batch_size": int}
_CUSTOM = "as in the recipe"
"""Shown for an augmentation that has no name or changes within the stage."""
_HEADS = "".join(f'<th scope="col">{text}</th>' for text in _COLUMNS.values())
_CHOICES = {"learns": list(LEARNS), "augmentation": [*AUGMENTATIONS, _CUSTOM]}
# Constants go into the template: Gradio forgets a component's props if an event skips it before its tab is opened.
_TEMPLATE = f"""
<div class="stages card" data-columns="{escape(json.dumps(_COLUMNS))}" data-choices="{escape(json.dumps(_CHOICES))}">
<table><caption>Stages</caption>
<thead><tr>{_HEADS}<th scope="col"><span class="unseen">Change</span></th></tr></thead><tbody></tbody></table>
<div class="tools"><button class="add">Add a stage</button></div></div>
"""


def stages_table(recipe: Recipe) -> gr.HTML:
    """Create the table. Every edit triggers an `input` event with all rows."""
    return gr.HTML(
        rows_of(recipe),
        html_template=_TEMPLATE,
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="stages",
        faults={},
    )


def rows_of(recipe: Recipe) -> Rows:
    """Return the table's rows for a recipe. `like` is the recipe's stage that supplies the values not shown."""
    return [
        {
            "like": number,
            "name": stage.name,
            "learns": _name_of(LEARNS, stage.trainable),
            "epochs": str(stage.epochs),
            "lr": f"{stage.lr:g}",
            "image_size": _sizes(stage),
            "batch_size": str(stage.batch_size),
            "augmentation": _augmentation(stage),
        }
        for number, stage in enumerate(recipe.stages)
    ]


def stages_from(recipe: Recipe, rows: Rows) -> tuple[tuple[Stage, ...], Faults]:
    """Build stages from the table. A faulty cell keeps the recipe's value and is listed in the faults."""
    stages: list[Stage] = []
    faults: Faults = {}
    for number, row in enumerate(rows):
        like = recipe.stages[min(int(row.get("like", 0)), len(recipe.stages) - 1)]
        stage, errors = _stage(like, row)
        try:
            replace(recipe, stages=(stage,))
        except UserError as error:  # valid for a stage, but not with this network
            errors["image_size"] = str(error).removeprefix(f"{stage.name}: ")
            stage = replace(stage, image_size=like.image_size, progression=like.progression)
        stages.append(stage)
        faults |= {f"{number}.{field}": reason for field, reason in errors.items()}
    return tuple(stages), faults


def _stage(like: Stage, row: dict[str, Any]) -> tuple[Stage, Faults]:
    """Build one stage from a row, field by field."""
    name = str(row["name"]).strip()[:40] or "stage"
    stage = replace(like, name=name, views=0)
    faults: Faults = {}
    for column in ("epochs", "lr", "image_size", "batch_size", "learns", "augmentation"):
        try:
            stage = _edited(stage, column, str(row[column]))
        except UserError as error:
            faults[column] = str(error).removeprefix(f"{name}: ")
    mixed_head = stage.trainable == HEAD and stage.augmentation.mixes  # features of mixed images cannot be cached
    return replace(stage, views=0 if mixed_head else like.views), faults


def _edited(stage: Stage, column: str, text: str) -> Stage:
    """Apply one cell to a stage. Raises UserError if its value is invalid."""
    if column == "learns":
        return replace(stage, trainable=LEARNS[text])
    if column == "augmentation":
        return stage if text == _augmentation(stage) or text == _CUSTOM else _augmented(stage, AUGMENTATIONS[text])
    if column == "image_size":
        return stage if text == _sizes(stage) else _resized(stage, text)
    try:
        value = _NUMBERS[column](text)
    except ValueError as error:
        kind = "whole number" if _NUMBERS[column] is int else "number"
        raise UserError(f"{column} is {text!r}; it must be a {kind}.") from error
    return stage if value == getattr(stage, column) else stage.changed(**{column: value})


def _augmented(stage: Stage, augmentation: Augmentation) -> Stage:
    """Use one augmentation throughout the stage."""
    kept = tuple(replace(change, augmentation=None) for change in stage.progression if change.image_size)
    return replace(stage, augmentation=augmentation, progression=kept)


def _resized(stage: Stage, text: str) -> Stage:
    """Use one image size throughout the stage, or replace each of its sizes in order."""
    try:
        first, *later = map(int, text.split(","))
    except ValueError as error:
        raise UserError(f"image_size is {text!r}; it must be a whole number.") from error
    if not later:
        return stage.changed(image_size=first)
    growing = [change for change in stage.progression if change.image_size]
    if len(later) != len(growing):
        raise UserError(f"image_size is {text!r}; enter 1 size, or {1 + len(growing)} as in the recipe.")
    sizes = dict(zip(growing, later, strict=True))
    changes = (replace(change, image_size=sizes.get(change)) for change in stage.progression)
    return replace(stage, image_size=first, progression=tuple(changes))


def _sizes(stage: Stage) -> str:
    return ", ".join(
        map(str, (stage.image_size, *(change.image_size for change in stage.progression if change.image_size)))
    )


def _augmentation(stage: Stage) -> str:
    """Return the name of the stage's augmentation as shown in the table."""
    if any(change.augmentation for change in stage.progression):
        return _CUSTOM
    return next((name for name, known in AUGMENTATIONS.items() if known == stage.augmentation), _CUSTOM)


def _name_of(names: Mapping[str, Any], value: Any) -> str:
    return next(name for name, known in names.items() if known == value)
