"""The form of a new run: recipe, stages, data, initial weights and seed, and an estimate of what the run will take."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.data.cifar100 import find
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.recipe.presets import RECIPES, recipe_named
from resnet_cifar.system.device import count
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.options import QUIET
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.price import Price, wrong
from resnet_cifar.ui.train.stages import Faults, Rows, rows_of, stages_from, stages_table


@dataclass(frozen=True)
class Answered:
    """The form that was answered last, and whether that answer is final or an estimate is still pending."""

    form: list[Any]
    final: bool


class Setup:
    """Builds the form. `inputs` are the components that `requested` reads; `gpus` is how many devices train."""

    def __init__(
        self, launcher: Launcher, models: Models, estimates: Estimates, rights: Rights, timer: gr.Timer
    ) -> None:
        self._launcher = launcher
        self._models = models
        self.price = Price(estimates, launcher.device)
        self._rights = rights
        first = RECIPES["transfer" if launcher.device.type == "cuda" else "quick"]
        gr.HTML(_notice(launcher), container=False, padding=False)
        recipe = gr.Radio(list(RECIPES), value=first.name, label="Recipe", elem_id="recipe")
        about = gr.HTML(_about(first), container=False, padding=False)
        table = stages_table(first)
        with gr.Accordion("Data, initial weights and seed", open=False), gr.Row():
            data = gr.Radio(list(DATASETS), value="cifar100", label="Data", info="synthetic: generated images")
            data_dir = gr.Textbox(
                "" if rights.owner else os.environ.get("CIFAR100_DIR", ""),  # on a Space, visitors would see the path
                label="Data folder",
                info="contains cifar-100-python; leave empty to download it once",
                max_lines=1,
            )
            init = gr.Dropdown(
                self._starts(),
                value=first.init,
                label="Initial weights",
                info="or a path: folder, .safetensors, .pth",
                allow_custom_value=True,
            )
            seed = gr.Number(0, label="Seed", info="for all random draws", precision=0)
        available = count(launcher.device)
        self.gpus = gr.Radio(
            list(range(1, available + 1)), value=1, label="GPUs", info="each batch is split", visible=available > 1
        )
        line = self.line = gr.HTML(container=False, padding=False, elem_id="price", render=False)  # beside the button
        answered = gr.State(None)
        self.inputs: list[Any] = [recipe, table, data, data_dir, init, seed]
        answering: dict[str, Any] = {
            "fn": self.answer,
            "inputs": [answered, *self.inputs],
            "outputs": [table, line, answered],
            "trigger_mode": "always_last",  # "once" would drop an edit that is made while an earlier one is answered
            **QUIET,
        }
        recipe.input(_from_recipe, recipe, [about, table, init], **QUIET).then(**answering)
        table.input(**answering)
        init.focus(lambda: gr.update(choices=self._starts()), None, init, **QUIET)
        gr.on([data.change, data_dir.change, init.change, seed.change], **answering)
        timer.tick(**answering)

    def _starts(self) -> list[str]:
        return ["scratch", "imagenet", *self._models.names()]

    def answer(self, answered: Answered | None, *values: Any) -> tuple[Any, Any, Any]:
        """Return the table's faults, the line below the form, and what has been answered.

        Called for every edit and on a timer, which completes pending estimates and replaces an answer to an earlier
        form that arrived late. Data files are hashed only when the form has changed.
        """
        form = list(values)
        repeated = answered is not None and answered.form == form
        if answered is not None and repeated and answered.final:
            return gr.skip(), gr.skip(), gr.skip()
        faults, line, final = self._answer(form, check_data=not repeated)
        return gr.skip() if faults is None else gr.update(faults=faults), line, Answered(form, final)

    def _answer(self, form: list[Any], check_data: bool) -> tuple[Faults | None, str, bool]:
        """The table's faults (None: unknown), the line below the form, and whether both are final."""
        if not self._rights.train:  # only those who can start a run cause trials
            return None, "", True
        try:
            recipe, data_dir, faults = self.requested(*form)
            if check_data and recipe.data == "cifar100" and data_dir is not None:
                find(data_dir)
        except UserError as error:
            return None, wrong(str(error)), True
        if faults:
            return faults, wrong("Correct the marked values in the table above."), True
        return {}, *self.price.line(recipe)

    def requested(
        self, name: str, rows: Rows, data: str, data_dir: str, init: str | None, seed: float | None
    ) -> tuple[Recipe, Path | None, Faults]:
        """Return the recipe and data folder that the form describes, and the faults in its table."""
        base = recipe_named(name)
        stages, faults = stages_from(base, rows)
        if seed is None:
            raise UserError("seed is empty; it must be a whole number.")
        changes: dict[str, Any] = {"train_images": None} if data == "synthetic" else {}
        recipe = replace(base, stages=stages, data=data, init=self._init(init), seed=int(seed), **changes)
        folder = _path(data_dir) if data_dir.strip() and data == "cifar100" else None
        return recipe, folder, faults

    def _init(self, init: str | None) -> str:
        if init in ("scratch", "imagenet"):
            return init
        if not init:
            raise UserError("initial weights are not chosen; choose scratch, imagenet, a model or a path.")
        if init in self._models.names():
            return str(self._models.folder(init))
        return str(_path(init))


def refuse_faults(faults: Faults) -> None:
    """Raise a refusal if the table has faults."""
    if faults:
        place, reason = next(iter(faults.items()))
        raise refuse(f"stage {int(place.split('.')[0]) + 1}: {reason}")


def _from_recipe(name: str) -> tuple[str, Rows, str]:
    recipe = RECIPES[name]
    return _about(recipe), rows_of(recipe), recipe.init


def _path(text: str) -> Path:
    try:
        return Path(text.strip()).expanduser().resolve()
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{text!r} is not a valid path: {error}.") from error


def _about(recipe: Recipe) -> str:
    stem = "stock stem, as in torchvision" if recipe.stem == "stock" else "CIFAR stem"
    return f"<p class='about'>{recipe.about[:1].upper()}{recipe.about[1:]}. ResNet-34, {stem}.</p>"


def _notice(launcher: Launcher) -> str:
    if launcher.device.type == "cuda":
        return "<h2>New run</h2>"
    return (
        "<h2>New run</h2><p class='notice'>No CUDA GPU was found. A CPU trains <b>quick</b> in a few minutes; the "
        "other recipes are meant for a GPU. The line above the button estimates how long they take here.</p>"
    )
