"""A recipe's stages as a table that can be edited; a wrong value is refused where it stands."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.config import AUGMENTS, EVERYTHING, HEAD, Recipe, Stage
from resnet_cifar.errors import UserError

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
    "augment": "Augmentation",
}
_NUMBERS: dict[str, Callable[[str], float]] = {"epochs": int, "lr": float, "image_size": int, "batch_size": int}
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
        choices={"learns": list(LEARNS), "augment": list(AUGMENTS)},
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
            "image_size": str(stage.image_size),
            "batch_size": str(stage.batch_size),
            "augment": _name_of(AUGMENTS, stage.augment),
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
            stage = replace(stage, image_size=like.image_size)
        stages.append(stage)
        faults |= {f"{number}.{field}": reason for field, reason in wrong.items()}
    return tuple(stages), faults


def _stage(like: Stage, row: dict[str, Any]) -> tuple[Stage, Faults]:
    """One stage, field by field; what is refused keeps the recipe's value."""
    name = str(row["name"]).strip()[:40] or "stage"
    stage = replace(like, name=name, views=0)
    faults: Faults = {}
    for column in ("epochs", "lr", "image_size", "batch_size", "learns", "augment"):
        try:
            field, value = _value(column, str(row[column]))
            if value != getattr(like, field):
                stage = stage.changed(**{field: value})
        except UserError as error:
            faults[column] = str(error).removeprefix(f"{name}: ")
    mixes_features = stage.trainable == HEAD and stage.augment.mixes  # those of a picture can't be computed once
    return replace(stage, views=0 if mixes_features else like.views), faults


def _value(column: str, text: str) -> tuple[str, Any]:
    """The stage's field that a column is of, and its value there."""
    if column == "learns":
        return "trainable", LEARNS[text]
    if column == "augment":
        return "augment", AUGMENTS[text]
    try:
        return column, _NUMBERS[column](text)
    except ValueError as error:
        kind = "whole number" if _NUMBERS[column] is int else "number"
        raise UserError(f"{column} is {text!r}; it must be a {kind}.") from error


def _name_of(names: Mapping[str, Any], wanted: Any) -> str:
    return next(name for name, value in names.items() if value == wanted)
