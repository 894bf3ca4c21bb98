"""A recipe's stages as a table that can be edited; a wrong value is refused where it stands."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.config import EVERYTHING, HEAD, Recipe, Stage

Rows = list[dict[str, Any]]
Faults = dict[str, str]
"""What is wrong, by place: `<row>.<field>`."""

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
_OWN = "the recipe's own"
"""Augmentation that has no name, or changes along the stage."""
_HEADS = "".join(f'<th scope="col">{text}</th>' for text in _COLUMNS.values())
_TEMPLATE = f"""
<div class="stages card"><table><caption>Stages</caption>
<thead><tr>{_HEADS}<th scope="col"><span class="unseen">Change</span></th></tr></thead><tbody></tbody></table>
<div class="tools"><button class="add">Add a stage</button></div></div>
"""


def stages_table(recipe: Recipe) -> gr.HTML:
    """The table; it tells of every edit as an `input` event with all `rows`."""
    return gr.HTML(
        rows_of(recipe),
        html_template=_TEMPLATE,
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="stages",
        faults={},
        columns=_COLUMNS,
        choices={"learns": list(LEARNS), "augmentation": [*AUGMENTATIONS, _OWN]},
    )


def rows_of(recipe: Recipe) -> Rows:
    """What the table shows of a recipe; `like` says whose other values a stage has."""
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
    """The stages that the table asks for, as far as they can be, and what is wrong with it."""
    stages: list[Stage] = []
    faults: Faults = {}
    for number, row in enumerate(rows):
        like = recipe.stages[min(int(row.get("like", 0)), len(recipe.stages) - 1)]
        stage, wrong = _stage(like, row)
        try:
            replace(recipe, stages=(stage,))
        except UserError as error:  # what a stage can be, but not in such a network
            wrong["image_size"] = str(error).removeprefix(f"{stage.name}: ")
            stage = replace(stage, image_size=like.image_size, progression=like.progression)
        stages.append(stage)
        faults |= {f"{number}.{field}": reason for field, reason in wrong.items()}
    return tuple(stages), faults


def _stage(like: Stage, row: dict[str, Any]) -> tuple[Stage, Faults]:
    """One stage, field by field; what is refused keeps the recipe's value."""
    name = str(row["name"]).strip()[:40] or "stage"
    stage = replace(like, name=name, views=0)
    faults: Faults = {}
    for column in ("epochs", "lr", "image_size", "batch_size", "learns", "augmentation"):
        try:
            stage = _edited(stage, column, str(row[column]))
        except UserError as error:
            faults[column] = str(error).removeprefix(f"{name}: ")
    mixes_features = stage.trainable == HEAD and stage.augmentation.mixes  # those of an image can't be computed once
    return replace(stage, views=0 if mixes_features else like.views), faults


def _edited(stage: Stage, column: str, text: str) -> Stage:
    """The stage with what the table says in a column."""
    if column == "learns":
        return replace(stage, trainable=LEARNS[text])
    if column == "augmentation":
        return stage if text == _augmentation(stage) or text == _OWN else _augmented(stage, AUGMENTATIONS[text])
    if column == "image_size":
        return stage if text == _sizes(stage) else _resized(stage, text)
    try:
        value = _NUMBERS[column](text)
    except ValueError as error:
        kind = "whole number" if _NUMBERS[column] is int else "number"
        raise UserError(f"{column} is {text!r}; it must be a {kind}.") from error
    return stage if value == getattr(stage, column) else stage.changed(**{column: value})


def _augmented(stage: Stage, augmentation: Augmentation) -> Stage:
    """The stage with one augmentation throughout."""
    kept = tuple(replace(change, augmentation=None) for change in stage.progression if change.image_size)
    return replace(stage, augmentation=augmentation, progression=kept)


def _resized(stage: Stage, text: str) -> Stage:
    """The stage at one size throughout, or at as many as it has, in their order."""
    try:
        first, *later = map(int, text.split(","))
    except ValueError as error:
        raise UserError(f"image_size is {text!r}; it must be a whole number.") from error
    if not later:
        return stage.changed(image_size=first)
    growing = [change for change in stage.progression if change.image_size]
    if len(later) != len(growing):
        raise UserError(f"image_size is {text!r}; it must be 1 size, or {1 + len(growing)} as in the recipe.")
    sizes = dict(zip(growing, later, strict=True))
    changes = (replace(change, image_size=sizes.get(change)) for change in stage.progression)
    return replace(stage, image_size=first, progression=tuple(changes))


def _sizes(stage: Stage) -> str:
    return ", ".join(
        map(str, (stage.image_size, *(change.image_size for change in stage.progression if change.image_size)))
    )


def _augmentation(stage: Stage) -> str:
    """Its name in the table."""
    if any(change.augmentation for change in stage.progression):
        return _OWN
    return next((name for name, known in AUGMENTATIONS.items() if known == stage.augmentation), _OWN)


def _name_of(names: Mapping[str, Any], wanted: Any) -> str:
    return next(name for name, value in names.items() if value == wanted)
