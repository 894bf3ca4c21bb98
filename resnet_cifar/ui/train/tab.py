"""The tab that starts runs, stops them and shows how they go; of running ones it only ever reads the folders."""

import html
from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import state
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.launcher import Launcher, log_tail
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.options import CHANGES, QUIET
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.live import live_card, no_run_card
from resnet_cifar.ui.train.setup import Setup, required

LATEST = "the latest"


def train_tab(records: Records, launcher: Launcher, models: Models, rights: Rights, timer: gr.Timer) -> None:
    """How the run at hand goes, and below it how the next one shall be."""
    seen = gr.State(None)
    live = gr.HTML(no_run_card(), container=False, padding=False)
    with gr.Row(elem_classes="actions"):
        which = gr.Dropdown([LATEST], value=LATEST, label="Run", scale=2)
        stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
        resume = gr.Button("Resume", variant="primary", visible=False, elem_id="resume")
    with gr.Accordion("Log", open=False):
        log = gr.HTML(container=False, padding=False)
    watching = partial(watch, records, launcher, rights)
    shown = [live, stop, resume, log, seen]
    gr.on([timer.tick, which.change], watching, [which, seen], shown, **QUIET)
    which.focus(lambda: gr.update(choices=[LATEST, *records.names()]), None, which, **QUIET)
    why_not = rights.why_not or rights.why_no_training
    notice = gr.HTML(_notice(why_not), visible=why_not is not None, container=False, padding=False)
    if rights.owner:
        gr.on(None, lambda: _notice(why_no_run(rights)), None, notice, **QUIET)
    if not rights.offers_training:
        return
    with gr.Column(visible=why_not is None) as form:
        setup = Setup(launcher, models, Estimates(records, launcher.device), rights, timer)
        begin = gr.Button("Start training", variant="primary", elem_id="start")
    if rights.owner:
        gr.on(None, lambda: gr.update(visible=rights.train), None, form, **QUIET)
    begin.click(partial(start, launcher, rights, setup), [setup.gpus, *setup.inputs], which, **CHANGES).then(
        watching, [which, seen], shown, **QUIET
    )
    stop.click(partial(act, records, rights, launcher.stop), which, None, **CHANGES).then(
        watching, [which, seen], shown, **QUIET
    )
    resume.click(partial(act, records, rights, launcher.resume), which, None, **CHANGES).then(
        watching, [which, seen], shown, **QUIET
    )


def why_no_run(rights: Rights) -> str | None:
    """Why the visitor can't start runs; or to the owner of a Space, what becomes of them there."""
    if not rights.change:
        return rights.why_not
    return rights.why_no_training or "The disk of a Space does not last: publish the runs that you want to keep."


def watch(records: Records, launcher: Launcher, rights: Rights, which: str, seen: Any) -> tuple[Any, ...]:
    """The card, the buttons and the log as they are now, each only if it changed."""
    record = at_hand(records, which)
    if record is None:
        now: tuple[Any, ...] = (no_run_card(), False, False, "")
    else:
        run = record.run
        stands, stopping = rights.discreet(state(record)), launcher.is_stopping(run)
        running = stands.status == "running"
        now = (
            live_card(stands, record.recipe, stopping),
            rights.train and running and not stopping,
            rights.train and not running and stands.status != "completed",
            _log(log_tail(run)) if rights.change else "",
        )
    before = seen or (None,) * len(now)
    card, can_stop, can_resume, log = (gr.skip() if new == old else new for new, old in zip(now, before, strict=True))
    return card, _visible(can_stop), _visible(can_resume), log, now


def _visible(value: Any) -> Any:
    return gr.update(visible=value) if isinstance(value, bool) else value


def at_hand(records: Records, which: str) -> Record | None:
    """The run that was chosen; else the one that runs, else the one that spoke last."""
    names = records.names() if which == LATEST else [which]
    runs = [RunDir(records.root / name) for name in names]
    running = [run for run in runs if run.status() == "running"]
    for run in running or sorted(runs, key=_spoke_at, reverse=True):
        try:
            return records.get(run.name)
        except UserError:
            continue
    return None


def _spoke_at(run: RunDir) -> float:
    file = run.metrics_file if run.metrics_file.exists() else run.recipe_file
    return file.stat().st_mtime if file.exists() else 0.0


def start(launcher: Launcher, rights: Rights, setup: Setup, gpus: int, *form: Any) -> str:
    """Start the run that the form describes."""
    rights.need_training()
    try:
        recipe, data_dir, faults = setup.wanted(*form)
        required(faults)
        launcher.start(recipe, data_dir, gpus)
    except UserError as error:
        raise refuse(error) from error
    return LATEST


def act(records: Records, rights: Rights, what: Callable[[RunDir], None], which: str) -> None:
    """Stop or resume the run at hand."""
    rights.need_training()
    record = at_hand(records, which)
    if record is None:
        return
    try:
        what(record.run)
    except UserError as error:
        raise refuse(error) from error


def _notice(sentence: str | None) -> str:
    return f"<p class='notice'>{html.escape(sentence or '')}</p>"


def _log(lines: str | None) -> str:
    text = "It was started elsewhere, and its log is there." if lines is None else lines or "Nothing yet."
    return f"<pre class='log' tabindex='0'>{html.escape(text)}</pre>"
