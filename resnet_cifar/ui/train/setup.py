"""What a new run is to be: a recipe, its stages, the data, where weights start, and what all that will cost."""

import html
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.data.cifar100 import find
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.recipe.presets import RECIPES, recipe_named
from resnet_cifar.report.text import duration, gibibytes
from resnet_cifar.system.device import count, describe
from resnet_cifar.training.estimate import Estimate, Estimates
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.options import QUIET
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.stages import Faults, Rows, rows_of, stages_from, stages_table

Form = list[Any] | None


class Setup:
    """The form of a new run; `inputs` are what `wanted` makes a recipe of, `gpus` how many are to train it."""

    def __init__(
        self, launcher: Launcher, models: Models, estimates: Estimates, rights: Rights, timer: gr.Timer
    ) -> None:
        self._launcher = launcher
        self._models = models
        self._estimates = estimates
        self._rights = rights
        first = RECIPES["transfer" if launcher.device.type == "cuda" else "quick"]
        gr.HTML(_notice(launcher), container=False, padding=False)
        recipe = gr.Radio(list(RECIPES), value=first.name, label="Recipe", elem_id="recipe")
        about = gr.HTML(_about(first), container=False, padding=False)
        table = stages_table(first)
        with gr.Accordion("Data, start and seed", open=False), gr.Row():
            data = gr.Radio(list(DATASETS), value="cifar100", label="Data", info="synthetic: made on the fly")
            data_dir = gr.Textbox(
                "" if rights.owner else os.environ.get("CIFAR100_DIR", ""),  # everybody's page holds it
                label="Data folder",
                info="holds cifar-100-python; empty: downloaded once",
                max_lines=1,
            )
            init = gr.Dropdown(
                self._starts(),
                value=first.init,
                label="Weights start from",
                info="or a path: folder, .safetensors, .pth",
                allow_custom_value=True,
            )
            seed = gr.Number(0, label="Seed", info="what all random draws come from", precision=0)
        there = count(launcher.device)
        self.gpus = gr.Radio(
            list(range(1, there + 1)), value=1, label="GPUs", info="that share each batch", visible=there > 1
        )
        price = gr.HTML(container=False, padding=False, elem_id="price")
        settled = gr.State(None)
        self.inputs: list[Any] = [recipe, table, data, data_dir, init, seed]
        considered: dict[str, Any] = {"fn": self.consider, "inputs": self.inputs, "outputs": [table, price, settled]}
        recipe.input(_of_recipe, recipe, [about, table, init], **QUIET).then(**considered, **QUIET)
        table.input(**considered, **QUIET)
        init.focus(lambda: gr.update(choices=self._starts()), None, init, **QUIET)
        gr.on([data.change, data_dir.change, init.change, seed.change], **considered, **QUIET)
        timer.tick(self.await_price, [settled, *self.inputs], [price, settled], **QUIET)

    def _starts(self) -> list[str]:
        return ["scratch", "imagenet", *self._models.names()]

    def consider(self, *form: Any) -> tuple[Any, str, Form]:
        """What is wrong in the table, what the run will cost, and the form if that is the last word on it."""
        faults, told, last = self._told(*form)
        return (gr.skip() if faults is None else gr.update(faults=faults)), told, list(form) if last else None

    def await_price(self, settled: Form, *form: Any) -> tuple[Any, Any]:
        """The cost as soon as it is known; and what an answer to an earlier form, which came late, has hidden."""
        if settled == list(form):
            return gr.skip(), gr.skip()
        _, told, last = self._told(*form)
        return told, list(form) if last else None

    def _told(self, *form: Any) -> tuple[Faults | None, str, bool]:
        """What is wrong in the table, as far as that is known; what is told below it; whether no more is to come."""
        if not self._rights.train:  # who may not start a run has nothing tried out
            return None, "", True
        try:
            recipe, data_dir, faults = self.wanted(*form)
            if recipe.data == "cifar100" and data_dir is not None:
                find(data_dir)
        except UserError as error:
            return None, _wrong(str(error)), True
        if faults:
            return faults, _wrong("Something in the table above can't be: see there."), True
        return {}, *self._price(recipe)

    def wanted(
        self, name: str, rows: Rows, data: str, data_dir: str, init: str | None, seed: float | None
    ) -> tuple[Recipe, Path | None, Faults]:
        """The recipe and the data folder that the form asks for, and what is wrong in its table."""
        base = recipe_named(name)
        stages, faults = stages_from(base, rows)
        if seed is None:
            raise UserError("there is no seed; it must be a whole number.")
        changes: dict[str, Any] = {"train_images": None} if data == "synthetic" else {}
        recipe = replace(base, stages=stages, data=data, init=self._start(init), seed=int(seed), **changes)
        folder = _path(data_dir) if data_dir.strip() and data == "cifar100" else None
        return recipe, folder, faults

    def _start(self, init: str | None) -> str:
        if init in ("scratch", "imagenet"):
            return init
        if not init:
            raise UserError("nothing says where weights start; choose scratch, imagenet, a model or a path.")
        if init in self._models.names():
            return str(self._models.folder(init))
        return str(_path(init))

    def _price(self, recipe: Recipe) -> tuple[str, bool]:
        """The line that says what a recipe costs, and whether there is no more to come."""
        try:
            estimate = self._estimates.of(recipe)
        except UserError as error:
            return _wrong(str(error)), True
        if estimate is None:
            waiting = "Told once the run at work has ended." if self._estimates.busy else "Trying it out …"
            return f"<p class='price'>What it will cost: {waiting}</p>", False
        device = describe(self._launcher.device)
        one = "one " if count(self._launcher.device) > 1 else ""
        return _cost(estimate, one + device), estimate.bytes is not None


def required(faults: Faults) -> None:
    """Refuse to go on with a table in which something is wrong."""
    if faults:
        place, reason = next(iter(faults.items()))
        raise refuse(f"stage {int(place.split('.')[0]) + 1}: {reason}")


def _of_recipe(name: str) -> tuple[str, Rows, str]:
    recipe = RECIPES[name]
    return _about(recipe), rows_of(recipe), recipe.init


def _path(text: str) -> Path:
    try:
        return Path(text.strip()).expanduser().resolve()
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{text!r} is no path: {error}.") from error


def _cost(estimate: Estimate, device: str) -> str:
    source = f"as in {html.escape(estimate.earlier_run)}" if estimate.earlier_run else "tried out just now"
    speed = f": {estimate.images_per_second:,.0f} images/s ({source})" if estimate.images_per_second else ""
    memory = f", {gibibytes(estimate.bytes)} of memory" if estimate.bytes else ""
    return f"<p class='price'>About <b>{duration(estimate.seconds)}</b> on {html.escape(device)}{speed}{memory}.</p>"


def _about(recipe: Recipe) -> str:
    stem = "stock stem, as in torchvision" if recipe.stem == "stock" else "CIFAR stem"
    return f"<p class='about'>{recipe.about[:1].upper()}{recipe.about[1:]}. ResNet-34, {stem}.</p>"


def _notice(launcher: Launcher) -> str:
    if launcher.device.type == "cuda":
        return "<h2>New run</h2>"
    return (
        "<h2>New run</h2><p class='notice'>There is no CUDA GPU here. A CPU trains <b>quick</b> in a few minutes; the "
        "other recipes want a GPU, and the line above the button says what they would take without one.</p>"
    )


def _wrong(sentence: str) -> str:
    return f"<p class='price wrong' role='alert'>{html.escape(sentence)}</p>"
