"""The form of a new run, what it asks for, and an estimate of what the run will take."""

import html
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.recipe.limits import check_name
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs.notes import Notes
from resnet_cifar.runs.record import Records
from resnet_cifar.system.device import count, describe
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.clock import Clock
from resnet_cifar.ui.options import QUIET
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.shared import Shared
from resnet_cifar.ui.shown import stamp, stamps
from resnet_cifar.ui.train.cards import costs
from resnet_cifar.ui.train.data_folder import check_data_folder, path_of
from resnet_cifar.ui.train.explore import explore
from resnet_cifar.ui.train.finder import Finder
from resnet_cifar.ui.train.form import Faults, Form, form_of, form_of_file, in_words, recipe_of, titled
from resnet_cifar.ui.train.own_images import Reader
from resnet_cifar.ui.train.price import Price, wrong
from resnet_cifar.ui.train.recipe_form import asked, recipe_form
from resnet_cifar.ui.train.samples import samples
from resnet_cifar.ui.train.where import HERE, Where


@dataclass(frozen=True)
class Requested:
    """The run that a form describes."""

    recipe: Recipe
    data_dir: Path | None
    name: str
    notes: str
    faults: Faults


class Setup:
    """Builds the form. `inputs` are the components that `requested` reads; `gpus` is how many devices train."""

    def __init__(
        self,
        launcher: Launcher,
        records: Records,
        models: Models,
        estimates: Estimates,
        rights: Rights,
        clock: Clock,
        opened: Any = None,
    ) -> None:
        """`opened`: the event of the tab being opened."""
        self._launcher = launcher
        self._records = records
        self._models = models
        self._estimates = estimates
        self._finder = Finder(launcher.device)
        self._own = Reader(rights)
        self.price = Price(estimates, launcher.device)
        self._rights = rights
        here = self._here = rights.why_no_training is None
        about = f"On this {html.escape(describe(launcher.device))}" if here else "As a Job of the Hugging Face Hub"
        gr.HTML(f"<h2>New run</h2><p class='about'>{about}</p>", container=False, padding=False)
        first = RECIPES["transfer" if launcher.device.type == "cuda" or not here else "quick"]
        data_dir = "" if rights.owner else os.environ.get("CIFAR100_DIR", "")  # on a Space, visitors would see the path
        form = recipe_form(first, data_dir, self._answers(), folders=self._own.folders, here=here)
        available = count(launcher.device)
        self.gpus = gr.Radio(
            list(range(1, available + 1)), value=1, label="GPUs", info="each batch is split", visible=available > 1
        )
        self.where = Where(rights, opened)
        line = self.line = gr.HTML(container=False, padding=False, elem_id="price", render=False)  # beside the button
        answered = stamps()  # of the form, and whether the answer to it is final
        self.inputs: list[Any] = [form]
        answering: dict[str, Any] = {
            "fn": self.answer,
            "inputs": [answered, form, self.where.choice],
            "outputs": [form, line, answered],
            "trigger_mode": "always_last",  # "once" would drop an edit that is made while an earlier one is answered
            **QUIET,
        }
        gr.on([form.input, self.where.choice.input], **answering)
        clock.tick(self.answer, answering["inputs"], answering["outputs"])

    def _answers(self) -> list[Any]:
        """What the browser can ask for while a form is filled in."""
        known = Shared(partial(costs, self._estimates))  # from all runs, and asked every few seconds
        answers: dict[str, Callable[[Any], Any]] = {
            "recipe_costs": lambda _: known.get(fresh=False),
            "model_names": lambda _: ["scratch", "imagenet", *self._models.names()],
            "run_names": lambda _: self._records.names(),
            "recipe_of_run": self._like,
            "recipe_of_file": form_of_file,
            "file_of_recipe": self._save,
            "stage_images": self._see,
            "explore_data": self._explore,
            "find_rate": self._find_rate,
            "rate_found": lambda ticket: self._finder.answer(int(ticket)),
            "stop_finding": lambda ticket: self._finder.stop(int(ticket)),
            "read_images": self._own.begin,
            "images_read": lambda ticket: self._own.answer(int(ticket)),
            "stop_reading": lambda ticket: self._own.stop(int(ticket)),
            "report_on_images": self._own.report,
        }
        return [asked(self._rights, name, answer) for name, answer in answers.items()]

    def answer(self, answered: Any, form: Form, where: str | None = HERE) -> tuple[Any, Any, Any]:
        """Return the form's faults, the line below the form, and what has been answered.

        Called for every edit and on a timer, which completes pending estimates and replaces an answer to an earlier
        form that arrived late. Data files are hashed only when the form has changed.
        """
        current = stamp((form, where))
        if answered == [current, True]:
            return gr.skip(), gr.skip(), gr.skip()
        faults, line, final = self._answer(form, where, check_data=answered != [current, False])
        return gr.skip() if faults is None else gr.update(faults=faults), line, [current, final]

    def _answer(self, form: Form, where: str | None, check_data: bool) -> tuple[Faults | None, str, bool]:
        """The form's faults (None: unknown), the line below the form, and whether both are final."""
        if not self._rights.start:  # only those who can start a run cause trials
            return None, "", True
        try:
            wanted = self.requested(form, check_data)
        except UserError as error:
            return None, wrong(str(error)), True
        if wanted.faults:
            return wanted.faults, wrong(_summary(wanted.faults)), True
        if where or not self._here:
            return {}, self.where.line(wanted.recipe, where), True
        return {}, *self.price.line(wanted.recipe)

    def requested(self, form: Form, check_data: bool = False) -> Requested:
        """Return the run that a form describes. Raises UserError if the form cannot be read at all."""
        try:
            recipe, faults = recipe_of(form, self._weights)
            run = {name: str(text).strip() for name, text in form["run"].items()}
            name, notes, folder, images = run["name"], run["notes"], run["data_dir"], form.get("images")
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError("the form cannot be read; reload the page and choose a recipe.") from error
        data_dir = None
        try:
            data_dir = path_of(folder) if folder and recipe.data == "cifar100" else None
            if check_data and data_dir is not None:
                check_data_folder(data_dir)
        except UserError as error:
            faults |= {"run.data_dir": in_words(error)}
        try:
            if recipe.own is not None or images == "":
                data_dir = self._own.file(images)
        except UserError as error:
            faults = {"images": in_words(error)} | faults
        try:
            Notes(text=notes)
        except UserError as error:
            faults |= {"run.notes": in_words(error)}
        return Requested(recipe, data_dir, name, notes, faults | self._fault_of_name(name))

    def _fault_of_name(self, name: str) -> Faults:
        if not name:
            return {}
        try:
            check_name("run", name)
        except UserError as error:
            return {"run.name": in_words(error)}
        taken = (self._launcher.root / name).exists()
        return {"run.name": f"There is already a run {name!r}; choose another name."} if taken else {}

    def _weights(self, typed: str) -> str:
        """Return the path of weights, given a model's name or a path."""
        if typed in ("scratch", "imagenet"):
            return typed
        if not typed:
            raise UserError("Initial weights is empty; choose scratch, imagenet or a model, or enter a path.")
        return str(self._models.folder(typed) if typed in self._models.names() else path_of(typed))

    def _like(self, name: Any) -> Form:
        """The form of an earlier run's recipe."""
        record = self._records.get(str(name))
        images = None if record.recipe.own is None else str(record.run.data_dir() or "")
        return form_of(record.recipe, f"run {name}", images)

    def _save(self, form: Any) -> str:
        """The recipe of a form as the text of a file."""
        wanted = self.requested(form)
        if wanted.faults:
            raise UserError(_summary(wanted.faults))
        return wanted.recipe.to_json()

    def _see(self, question: Any) -> dict[str, Any]:
        """Images before and after the augmentation of a stage."""
        wanted, stage = self._stage(question)
        return samples(wanted.recipe, stage, wanted.data_dir, int(question["seed"]))

    def _explore(self, question: Any) -> dict[str, Any]:
        """Train images of a class before and after the augmentation of a stage."""
        wanted, stage = self._stage(question)
        part, first, draw = (int(question[name]) for name in ("part", "first", "draw"))
        return explore(wanted.recipe, stage, wanted.data_dir, str(question["wanted"]), part, first, draw)

    def _find_rate(self, question: Any) -> int:
        """Ticket of a learning-rate test that has been started."""
        wanted, number = self.requested(question["form"]), int(question["stage"])
        faults = {path: fault for path, fault in wanted.faults.items() if path not in ("run.name", "run.notes")}
        if faults:
            raise UserError(_summary(faults))
        return self._finder.begin(wanted.recipe, number, wanted.data_dir)

    def _stage(self, question: Any) -> tuple[Requested, Stage]:
        """The form and the stage that a question is about."""
        wanted, number = self.requested(question["form"]), int(question["stage"])
        if any(path.startswith(f"stages.{number}.") for path in wanted.faults):
            raise UserError("Correct the marked fields of this stage first.")
        return wanted, wanted.recipe.stages[number]


def refuse_faults(faults: Faults) -> None:
    """Raise a refusal if the form has faults."""
    if faults:
        raise refuse(_summary(faults))


def _summary(faults: Faults) -> str:
    """The first fault, where it is, and how many others there are."""
    path, reason = next(iter(faults.items()))
    where = titled(path)
    others = len(faults) - 1
    more = f" {others} more field{'s are' if others > 1 else ' is'} marked above." if others else ""
    return f"{where}{reason}{more}"
