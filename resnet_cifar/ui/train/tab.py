"""The Train tab: starts, queues, stops and resumes runs, and shows their status, which is read from their folders."""

import html
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.runs.rented import is_rented
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import state
from resnet_cifar.system.background import at_once
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.launcher import Launcher, log_tail
from resnet_cifar.training.queue import Queue
from resnet_cifar.training.renting import resume_rented
from resnet_cifar.ui.chart import chart
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.clock import Clock
from resnet_cifar.ui.options import CHANGES, QUIET
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.shared import Shared
from resnet_cifar.ui.shown import changed, stamps
from resnet_cifar.ui.train.bar import LATEST, Bar
from resnet_cifar.ui.train.live import live_card, live_figure, live_html, no_run_card
from resnet_cifar.ui.train.setup import Setup
from resnet_cifar.ui.train.title import progress_of


def train_tab(
    records: Records,
    launcher: Launcher,
    models: Models,
    rights: Rights,
    clock: Clock,
    title: gr.HTML,
    opened: Any = None,
) -> gr.HTML:
    """Build the tab: the form of a new run, and the selected run, which stands above the form while it is news.

    `title` keeps the window's title on all tabs. `opened`: the event of the tab being opened. Returns the run's card,
    whose `select` event asks for another tab and names the run to show there.
    """
    queue = Queue(launcher)
    why_not = rights.why_not or rights.why_no_training
    with gr.Column(elem_id="training"):
        notice = gr.HTML(_notice(why_not), visible=why_not is not None, container=False, padding=False)
        bar = None
        if rights.offers_runs:
            if rights.why_no_training is None:
                queue.attend()  # an earlier page may have left runs in it
            with gr.Column(visible=why_not is None, elem_id="form") as form:
                setup = Setup(launcher, records, models, Estimates(records, launcher.device), rights, clock, opened)
            with gr.Column(visible=why_not is None, elem_id="begin") as begin:
                bar = Bar(queue, launcher, rights, setup, clock)
        which, live, watching = _watched(records, launcher, queue, rights, clock, title)
    if rights.owner:
        gr.on(None, lambda: _notice(training_notice(rights)), None, notice, **QUIET)
        if bar:
            gr.on(None, lambda: [gr.update(visible=rights.start)] * 2, None, [form, begin], **QUIET)
    if bar:
        bar.started(which, watching)
    return live


def _watched(
    records: Records, launcher: Launcher, queue: Queue, rights: Rights, clock: Clock, title: gr.HTML
) -> tuple[gr.Dropdown, gr.HTML, dict[str, Any]]:
    """Build the selected run: card, curves, actions and log. Returns choice, card and the event that updates them."""
    has = stamps()
    with gr.Column(elem_id="watch"):
        live = live_html()
        with gr.Row(elem_classes="actions"):
            which = gr.Dropdown([LATEST], value=LATEST, label="Run", scale=2)
            stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
            resume = gr.Button("Resume", variant="primary", visible=False, elem_id="resume")
        curves = chart("live-chart", "The curves grow here as soon as the run trains.")
        with gr.Accordion("Log", open=False, elem_id="log"):
            log = gr.HTML(container=False, padding=False)
    answer = Watch(records, launcher, queue, rights).answer
    watching: dict[str, Any] = {
        "fn": answer,
        "inputs": [which, has],
        "outputs": [live, curves, stop, resume, log, title, has],
        **QUIET,
    }

    def unqueued(event: gr.EventData) -> None:
        act(records, rights, launcher.stop, str(event.name))

    which.change(**watching)
    clock.tick(partial(answer, look=False), watching["inputs"], watching["outputs"])
    which.focus(lambda: gr.update(choices=[LATEST, *records.names()]), None, which, **QUIET)
    resumed = partial(_resume, queue, launcher, rights)
    for button, action in ((stop, launcher.stop), (resume, resumed)):
        button.click(partial(act, records, rights, action), [which, title], None, **CHANGES).then(**watching)
    live.delete(unqueued, None, None, trigger_mode="multiple", **CHANGES).then(**watching)
    return which, live, watching


def training_notice(rights: Rights) -> str | None:
    """Return why the visitor cannot start runs, or, for a Space's owner, where, and whether it keeps them."""
    if not rights.change:
        return rights.why_not
    said = [rights.why_not_here or ""]
    if rights.start and rights.keeps_runs:
        said.append("Runs are kept in this Space's bucket, and are there again after a restart.")
    elif rights.start:
        said.append("A Space's disk is temporary: publish the runs that you want to keep.")
    if rights.rent and not rights.keeps_runs:
        said.append(
            "The weights of a run that a Job trains stay in a bucket of your account, but Resume brings them back only "
            "while the run's folder is here."
        )
    return " ".join(said).strip()


class Watch:
    """Answers how the selected run is doing."""

    def __init__(self, records: Records, launcher: Launcher, queue: Queue, rights: Rights) -> None:
        self._records = records
        self._launcher = launcher
        self._queue = queue
        self._rights = rights
        self._shared = Shared(self._look)

    def answer(self, which: str, has: Any, *, look: bool = True) -> list[Any]:
        """Return card, curves, buttons, log, the title's facts, and stamps. What the browser already has is skipped.

        look: look for the latest run and the queue even if another page has just done so.
        """
        latest, waiting = self._shared.get(fresh=look)
        record = latest if which == LATEST else selected(self._records, which)
        if record is None:
            now: tuple[Any, ...] = (no_run_card(), None, (False, "Stop"), (False, "Resume"), "", {})
        else:
            now = self._of(record, latest or record, waiting)
        return changed(has, [(part, partial(_made, part)) for part in now])

    def _look(self) -> tuple[Record | None, list[str]]:
        return selected(self._records, LATEST), [one.name for one in self._queue.waiting()]

    def _of(self, record: Record, latest: Record, waiting: Sequence[str]) -> tuple[Any, ...]:
        run, rights, launcher = record.run, self._rights, self._launcher
        current, stopping = rights.discreet(state(record)), launcher.is_stopping(run)
        active = current.status in ("running", "queued")
        if waiting and rights.train:
            self._queue.attend()  # another page may have filled it
        return (
            live_card(current, record.recipe, stopping, waiting, change=rights.change),
            live_figure(record),
            (
                rights.start and active and not stopping,
                "Remove from the queue" if current.status == "queued" else "Stop",
            ),
            (
                (rights.rent if is_rented(run) else rights.train) and not active and current.status != "completed",
                "Resume" if launcher.at_work() is None or is_rented(run) else "Resume when the device is free",
            ),
            _log(log_tail(run)) if rights.change else "",
            progress_of(current if latest is record else state(latest)),
        )


def _made(part: Any) -> Any:
    return gr.update(visible=part[0], value=part[1]) if isinstance(part, tuple) else part


def selected(records: Records, which: str) -> Record | None:
    """Return the chosen run; for `LATEST` the running one, or else the one that was active last."""
    runs = records.runs() if which == LATEST else [RunDir(records.root / which)]
    running = [run for run in runs if run.holder() is not None]
    for run in running or sorted(runs, key=_last_active, reverse=True):
        try:
            return records.get(run.name)
        except UserError:
            continue
    return None


def _last_active(run: RunDir) -> float:
    for file in (run.metrics_file, run.recipe_file):
        with suppress(OSError):
            return os.stat(file).st_mtime
    return 0.0


def act(records: Records, rights: Rights, action: Callable[[RunDir], None], which: str, latest: Any = None) -> None:
    """Stop, resume or unqueue the selected run. `latest`: the title's facts of what the page shows as the latest run:
    another one may be it by now.
    """
    rights.need_start()
    shown = latest.get("name") if which == LATEST and isinstance(latest, dict) else None
    record = selected(records, shown if isinstance(shown, str) else which)
    if record is None:
        return
    try:
        action(record.run)
    except UserError as error:
        raise refuse(error) from error


def _resume(queue: Queue, launcher: Launcher, rights: Rights, run: RunDir) -> None:
    if is_rented(run):
        rights.need_jobs()
        at_once(resume_rented(launcher, rights.hub(), run))
    else:
        rights.need_training()
        queue.resume(run)


def _notice(sentence: str | None) -> str:
    return f"<p class='notice'>{html.escape(sentence or '')}</p>"


def _log(lines: str | None) -> str:
    text = "This run was started in a terminal, which shows its log." if lines is None else lines or "Nothing yet."
    return f"<pre class='log' tabindex='0'>{html.escape(text)}</pre>"
