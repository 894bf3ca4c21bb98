"""The bar that starts a run: its price, whether the machine is busy, and Start, or Queue while a run is at work."""

import html
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.system.background import at_once
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.queue import Queue
from resnet_cifar.training.renting import rent
from resnet_cifar.ui.clock import Clock
from resnet_cifar.ui.options import CHANGES, QUIET
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.shown import Part, changed, stamps
from resnet_cifar.ui.train.price import Load
from resnet_cifar.ui.train.setup import Setup, refuse_faults
from resnet_cifar.ui.train.where import HERE

LATEST = "latest run"
"""Entry of the Run list; no run can have this name, because of the space."""


class Bar:
    """Builds the bar, which stays in sight. `started` connects what follows when it has started or queued a run."""

    def __init__(self, queue: Queue, launcher: Launcher, rights: Rights, setup: Setup, clock: Clock) -> None:
        self._queue = queue
        self._launcher = launcher
        self._rights = rights
        self._setup = setup
        self._load = Load()
        has = stamps()
        with gr.Row(elem_id="bar"):
            with gr.Column(scale=3, min_width=260):
                setup.line.render()  # type: ignore[no-untyped-call]
                note = gr.HTML(container=False, padding=False, elem_id="note")
            with gr.Column(scale=1, min_width=180):
                begin = gr.Button("Start training", variant="primary", elem_id="start")
                add = gr.Button("Queue", variant="primary", visible=False, elem_id="enqueue")
            with gr.Column(visible=False, min_width=260, elem_id="question") as asking:
                question = gr.HTML(container=False, padding=False)
                with gr.Row():
                    anyway = gr.Button("Yes, start", variant="stop", min_width=120, elem_id="anyway")
                    cancel = gr.Button("Cancel", min_width=120)
        self._answers = [asking, question]
        self._starters = [(begin, False), (add, True), (anyway, None)]
        cancel.click(lambda: gr.update(visible=False), None, asking, **QUIET)
        where = setup.where.choice
        where.input(self.offer, [has, where], [begin, add, note, has], **QUIET)
        where.input(lambda: gr.update(visible=False), None, asking, **QUIET)
        clock.tick(self.offer, [has, where], [begin, add, note, has])

    def started(self, which: gr.Dropdown, then: dict[str, Any]) -> None:
        """Let the buttons start a run and select it in `which`; `then` is the event that shows it."""
        for button, queued in self._starters:
            begin = partial(start, self._launcher, self._queue, self._rights, self._setup, queued)
            inputs = [self._answers[1], self._setup.where.choice, self._setup.gpus, *self._setup.inputs]
            outputs = [which, *self._answers]
            button.click(begin, inputs, outputs, **CHANGES).then(**then)

    def offer(self, has: Any, where: str | None = HERE) -> list[Any]:
        """Return which button is there, what stands beside it, and stamps. What the browser already has is skipped."""
        at_work = None if where else self._launcher.at_work()  # a Job needs no device of this machine
        busy, note = at_work is not None, "" if where else self._note(at_work)
        parts: list[Part] = [
            (busy, lambda: gr.update(visible=not busy)),
            (busy, lambda: gr.update(visible=busy)),
            (note, lambda: note),
        ]
        return changed(has, parts)

    def _note(self, at_work: str | None) -> str:
        if not self._rights.train:
            return ""
        sentence = self._load.sentence()
        if at_work is not None:
            run = html.escape(Path(at_work).name) or "the run at work"  # it may be noted by its path
            return f"<p class='aside'>A queued run starts when {run} has ended, as long as this page is served.</p>"
        return f"<p class='busy' role='status'>{sentence}</p>" if sentence else ""


def start(
    launcher: Launcher,
    queue: Queue,
    rights: Rights,
    setup: Setup,
    queued: bool | None,
    asked: str,
    where: str | None,
    gpus: int,
    *form: Any,
) -> tuple[Any, Any, str]:
    """Start or queue the run that the form describes, and select it.

    Ask before a very long one, and before a Job. queued: None for whichever the device allows, after a Yes to what was
    `asked`; it counts only if the same would be asked now. where: rented hardware.
    """
    (rights.need_jobs if where else rights.need_training)()
    try:
        wanted = setup.requested(*form)
        refuse_faults(wanted.faults)
        question = setup.where.question(wanted.recipe, where) if where else setup.price.question(wanted.recipe)
        if question is not None:
            asks = f"<p class='ask' role='alert'>{html.escape(question)}</p>"
            if queued is not None or asks != asked:  # the form may have changed since
                return gr.skip(), gr.update(visible=True), asks
        if where:
            price = setup.where.price(wanted.recipe, where)
            at_once(rent(launcher, rights.hub(), wanted.recipe, price, name=wanted.name, notes=wanted.notes))
            return LATEST, gr.update(visible=False), ""
        if queued is None:
            queued = launcher.at_work() is not None
        begin = queue.add if queued else launcher.start
        begin(wanted.recipe, wanted.data_dir, gpus, name=wanted.name, notes=wanted.notes)
    except UserError as error:
        raise refuse(error) from error
    return LATEST, gr.update(visible=False), ""
