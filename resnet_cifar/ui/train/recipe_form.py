"""The form of a new run as a component of the page: recipe cards, stages, and everything else under Advanced.

Its value is a form (`form.py`), kept up to date by the browser with every key, so that Start uses what is typed.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import EVERYTHING, Recipe
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.recipe.presets import OWN_IMAGES, RECIPES
from resnet_cifar.ui.classify.uploads import MAX_MEGABYTES as MAX_IMAGE
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.cards import cards
from resnet_cifar.ui.train.fields import FIELDS, LEARNS, NO, OF_RUN, YES
from resnet_cifar.ui.train.form import form_of, texts
from resnet_cifar.ui.train.own_images import MAX_MEGABYTES

_OF_THIS_MACHINE = {
    *("recipe_costs", "find_rate", "rate_found", "stop_finding"),
    *("read_images", "images_read", "stop_reading", "report_on_images"),
}
"""What the browser can ask for only where runs can train on this machine: a Job cannot see a person's own images."""
Answer = Callable[[Any], Any]
"""Function that the browser calls with one argument."""

_TEMPLATE = """
<div class="recipe-form" data-constants="{constants}">
  <fieldset class="recipes"><legend>Recipe</legend><div class="recipe-cards"></div></fieldset>
  <section class="own card" aria-label="Your own images" hidden></section>
  <div class="sources card">
    <p class="source"></p>
    <label class="like">Like run <select aria-label="Like run"></select></label>
    <span class="tools"><button class="load">Load a recipe file</button><button class="save">Save as a file</button>
    <button class="undo">Undo all edits</button></span>
    <input type="file" accept=".json,application/json" hidden aria-label="Recipe file">
    <p class="fault" role="alert"></p>
  </div>
  <div id="stages" class="stages"></div>
  <div class="run card"></div>
  <dialog class="explorer card" aria-label="Explore the data"></dialog>
  <div class="tip" popover="manual" aria-hidden="true"></div>
</div>
"""
_SCRIPTS = ("finder.js", "explore.js", "own_images.js", "recipe_form.js")
"""They run as one script."""


def recipe_form(first: Recipe, data_dir: str, answers: list[Answer], *, folders: bool, here: bool) -> gr.HTML:
    """Create the form, with `first` chosen. Every edit triggers an `input` event.

    answers: what the browser can ask for while the form is filled in, by the functions' names. folders: whether a
    person's own images may be in a folder of this machine. here: whether runs can train on this machine.
    """
    form = form_of(first)
    form["run"]["data_dir"] = data_dir
    return gr.HTML(
        form,
        html_template=_TEMPLATE.format(constants=escape(json.dumps(_constants(folders, here), ensure_ascii=False))),
        js_on_load="".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in _SCRIPTS),
        apply_default_css=False,
        server_functions=answers,
        elem_id="recipe",
        faults={},
    )


def _constants(folders: bool, here: bool) -> dict[str, Any]:
    # They go into the template: Gradio forgets a component's props if an event skips it before its tab is opened.
    named = {kind.__name__.lower(): [asdict(field) for field in fields] for kind, fields in FIELDS.items()}
    return {
        "fields": named | {"run": [asdict(field) for field in OF_RUN]},
        "here": here,
        "cards": [card for card in cards() if here or card["name"] != OWN_IMAGES.name],
        "recipes": {name: form_of(recipe) for name, recipe in RECIPES.items()}
        | {OWN_IMAGES.name: form_of(OWN_IMAGES, images="")},
        "own": {"folders": folders, "megabytes": MAX_MEGABYTES if folders else MAX_IMAGE},
        "learns": {name: " ".join(groups) for name, groups in LEARNS.items()},
        "groups": EVERYTHING,
        "train_images": {name: spec.train_images for name, spec in DATASETS.items()},
        "augmentations": {name: texts(type(value), asdict(value)) for name, value in AUGMENTATIONS.items()},
        "change": {"after": "0.5", "image_size": "", "augmentation": None, "like": None},
        "yes": YES,
        "no": NO,
    }


def asked(rights: Rights, name: str, answer: Callable[[Any], Any]) -> Answer:
    """Return a function that the browser can call: only for those who may start; a UserError becomes its sentence."""

    def checked(question: Any) -> dict[str, Any]:
        rights.need_start()
        try:
            if name in _OF_THIS_MACHINE and not rights.train:
                raise UserError(str(rights.why_not_here))
            return {"answer": answer(question)}
        except UserError as error:
            return {"error": str(error)}
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
            return {"error": "The page sent something that cannot be read; reload it."}

    checked.__name__ = name
    return checked
