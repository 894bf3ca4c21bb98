"""The Train tab: starts, stops and resumes runs, and shows their status, which is read from their folders."""

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
from resnet_cifar.ui.train.setup import Setup, refuse_faults

LATEST = "latest run"
"""Entry of the Run list; no run can have this name, because of the space."""


def train_tab(records: Records, launcher: Launcher, models: Models, rights: Rights, timer: gr.Timer) -> None:
    """Build the tab: the selected run's status, and below it the form of a new run."""
    seen = gr.State(None)
    live = gr.HTML(no_run_card(), container=False, padding=False)
    with gr.Row(elem_classes="actions"):
        which = gr.Dropdown([LATEST], value=LATEST, label="Run", scale=2)
        stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
        resume = gr.Button("Resume", variant="primary", visible=False, elem_id="resume")
    with gr.Accordion("Log", open=False):
        log = gr.HTML(container=False, padding=False)
    watching: dict[str, Any] = {
        "fn": partial(watch, records, launcher, rights),
        "inputs": [which, seen],
        "outputs": [live, stop, resume, log, seen],
        **QUIET,
    }
    gr.on([timer.tick, which.change], **watching)
    which.focus(lambda: gr.update(choices=[LATEST, *records.names()]), None, which, **QUIET)
    why_not = rights.why_not or rights.why_no_training
    notice = gr.HTML(_notice(why_not), visible=why_not is not None, container=False, padding=False)
    if rights.owner:
        gr.on(None, lambda: _notice(training_notice(rights)), None, notice, **QUIET)
    if not rights.offers_training:
        return
    with gr.Column(visible=why_not is None) as form:
        setup = Setup(launcher, records, models, Estimates(records, launcher.device), rights, timer)
        begin = gr.Button("Start training", variant="primary", elem_id="start")
    if rights.owner:
        gr.on(None, lambda: gr.update(visible=rights.train), None, form, **QUIET)
    begin.click(partial(start, launcher, rights, setup), [setup.gpus, *setup.inputs], which, **CHANGES).then(**watching)
    stop.click(partial(act, records, rights, launcher.stop), which, None, **CHANGES).then(**watching)
    resume.click(partial(act, records, rights, launcher.resume), which, None, **CHANGES).then(**watching)


def training_notice(rights: Rights) -> str | None:
    """Return why the visitor cannot start runs, or, for a Space's owner, that its disk is temporary."""
    if not rights.change:
        return rights.why_not
    return rights.why_no_training or "A Space's disk is temporary: publish the runs that you want to keep."


def watch(records: Records, launcher: Launcher, rights: Rights, which: str, seen: Any) -> tuple[Any, ...]:
    """Return the card, the buttons' visibility and the log; whatever has not changed since `seen` is skipped."""
    record = selected(records, which)
    if record is None:
        now: tuple[Any, ...] = (no_run_card(), False, False, "")
    else:
        run = record.run
        current, stopping = rights.discreet(state(record)), launcher.is_stopping(run)
        running = current.status == "running"
        now = (
            live_card(current, record.recipe, stopping),
            rights.train and running and not stopping,
            rights.train and not running and current.status != "completed",
            _log(log_tail(run)) if rights.change else "",
        )
    before = seen or (None,) * len(now)
    card, can_stop, can_resume, log = (gr.skip() if new == old else new for new, old in zip(now, before, strict=True))
    return card, _visible(can_stop), _visible(can_resume), log, now


def _visible(value: Any) -> Any:
    return gr.update(visible=value) if isinstance(value, bool) else value


def selected(records: Records, which: str) -> Record | None:
    """Return the chosen run; for `LATEST` the running one, or else the one that was active last."""
    names = records.names() if which == LATEST else [which]
    runs = [RunDir(records.root / name) for name in names]
    running = [run for run in runs if run.status() == "running"]
    for run in running or sorted(runs, key=_last_active, reverse=True):
        try:
            return records.get(run.name)
        except UserError:
            continue
    return None


def _last_active(run: RunDir) -> float:
    file = run.metrics_file if run.metrics_file.exists() else run.recipe_file
    return file.stat().st_mtime if file.exists() else 0.0


def start(launcher: Launcher, rights: Rights, setup: Setup, gpus: int, *form: Any) -> str:
    """Start the run that the form describes, and select it."""
    rights.need_training()
    try:
        wanted = setup.requested(*form)
        refuse_faults(wanted.faults)
        launcher.start(wanted.recipe, wanted.data_dir, gpus, name=wanted.name, notes=wanted.notes)
    except UserError as error:
        raise refuse(error) from error
    return LATEST


def act(records: Records, rights: Rights, action: Callable[[RunDir], None], which: str) -> None:
    """Stop or resume the selected run."""
    rights.need_training()
    record = selected(records, which)
    if record is None:
        return
    try:
        action(record.run)
    except UserError as error:
        raise refuse(error) from error


def _notice(sentence: str | None) -> str:
    return f"<p class='notice'>{html.escape(sentence or '')}</p>"


def _log(lines: str | None) -> str:
    text = "This run was started in a terminal, which shows its log." if lines is None else lines or "Nothing yet."
    return f"<pre class='log' tabindex='0'>{html.escape(text)}</pre>"
