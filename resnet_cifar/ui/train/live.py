"""The card that shows a run's status and progress, and the curves that grow below it."""

import html
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import gradio as gr

from resnet_cifar.recipe.config import Recipe
from resnet_cifar.report.figures import MAIN_PANELS, figure
from resnet_cifar.report.series import visible_size
from resnet_cifar.report.text import duration, gibibytes, percent, roughly
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.status import State

_PHASES = {
    "download": "downloading",
    "download from the Hub": "downloading from the Hugging Face Hub",
    "read images": "reading images",
    "features": "computing features",
    "compile": "compiling, takes about a minute",
    "evaluate": "evaluating",
    "test": "testing",
}
_NEWS = 3600.0  # seconds for which a run that has ended keeps its place above the form
_STEPS = {"Classify": "Try it", "Curves": "See its curves", "Inspect": "Inspect it", "Publish": "Publish"}
"""What to do with a completed run: tabs, and the text of the buttons that open them."""


def live_html() -> gr.HTML:
    """Create the card. Its events: `select` with a tab and the run to show there; `delete` with a run to unqueue."""
    return gr.HTML(
        "<div class='live'></div>",  # until the first update knows whether there are runs
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        container=False,
        padding=False,
        elem_id="live",
    )


def live_card(
    state: State, recipe: Recipe, stopping: bool, waiting: Sequence[str] = (), *, change: bool = False
) -> str:
    """Return the card: name, status, progress, stages and metrics.

    waiting: names of the queued runs. change: whether the visitor may change runs.
    """
    status = "stopping" if stopping else state.status
    is_news = state.status in ("running", "queued") or time.time() - state.updated < _NEWS
    return (
        f"<div class='live card{' news' if is_news else ''}' data-name='{html.escape(state.name)}' "
        f"data-status='{state.status}'>"
        f"<div class='head'><h2>{html.escape(state.name)}</h2><span class='state {state.status}'>{status}</span>"
        f"<span class='activity'>{_activity(state, stopping)}</span></div>"
        f"{_bar(state)}{_stages(state, recipe)}<dl>{_facts(state)}</dl>{_reason(state)}"
        f"{_next_steps(state, change)}{_waiting(waiting, change)}</div>"
    )


def no_run_card() -> str:
    """Return the card shown when there are no runs."""
    return "<div class='live card'><p class='none'>No runs yet. Choose a recipe and start training.</p></div>"


def live_figure(record: Record) -> str | None:
    """Return the curves of loss and accuracy as JSON; None before there are any."""
    return _figure(record, visible_size(record)) if record.events.steps else None


@lru_cache(maxsize=8)
def _figure(record: Record, _size: int) -> str:
    """Cached, because all open pages ask for it."""
    with record.lock:
        return str(figure([record], panels=MAIN_PANELS).to_json(remove_uids=False))


def _activity(state: State, stopping: bool) -> str:
    if stopping:
        return "saving, then stopping"
    if state.status == "queued":
        return "starts when the device is free, as long as this page is served"
    if state.status != "running":
        return ""
    if state.phase is not None:
        return _PHASES.get(state.phase, html.escape(state.phase))
    if state.updated == 0 or not state.epochs_planned:
        return "starting"
    return f"{roughly(state.seconds_left)} left" if state.seconds_left is not None else "starting"


def _bar(state: State) -> str:
    share = 100 * state.part_done
    return (
        f"<div class='progress' role='progressbar' aria-label='progress of the run' aria-valuemin='0' "
        f"aria-valuemax='100' aria-valuenow='{share:.0f}'><i style='width:{share:.2f}%'></i></div>"
    )


def _stages(state: State, recipe: Recipe) -> str:
    """Return the list of stages: done, current and coming."""
    items = []
    for number, stage in enumerate(recipe.stages, start=1):
        done = number < state.stage or state.status == "completed"
        kind = "done" if done else "current" if number == state.stage and state.status != "queued" else "coming"
        text = html.escape(stage.name)
        if kind == "current":
            text += f" <small>{_position(state)}</small>"
        items.append(f"<li class='{kind}'{' aria-current=step' if kind == 'current' else ''}>{text}</li>")
    return f"<ol>{''.join(items)}</ol>"


def _position(state: State) -> str:
    ended = "" if state.status == "running" else f"{state.status} in "
    return f"{ended}epoch {state.epoch} of {state.epochs}"


def _facts(state: State) -> str:
    facts = {
        "loss": state.loss is not None and f"{state.loss:.3f}",
        "val top-1": state.val_top1 is not None and percent(state.val_top1),
        "best val": state.best_val_top1 is not None and percent(state.best_val_top1),
        "test top-1": state.test and percent(state.test.top1),
        "test top-5": state.test and percent(state.test.top5),
        "images/s": state.images_per_second and f"{state.images_per_second:,.0f}",
        "memory": state.memory and gibibytes(state.memory),
        "time": state.seconds and duration(state.seconds),
    }
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items() if value)


def _reason(state: State) -> str:
    return f"<p class='reason' role='alert'>{html.escape(state.reason)}</p>" if state.reason else ""


def _next_steps(state: State, change: bool) -> str:
    if state.status != "completed":
        return ""
    tabs = [tab for tab in _STEPS if change or tab != "Publish"]
    buttons = "".join(f"<button data-tab='{tab}'>{_STEPS[tab]}</button>" for tab in tabs)
    return f"<p class='next'>{buttons}</p>"


def _waiting(names: Sequence[str], change: bool) -> str:
    if not names:
        return ""
    items = []
    for name in map(html.escape, names):
        off = f"<button data-off='{name}' aria-label='remove {name} from the queue'>Remove</button>" if change else ""
        items.append(f"<li>{name} {off}</li>")
    return f"<div class='waiting'><h3>Queue</h3><ul>{''.join(items)}</ul></div>"
