"""The card that shows a run's status and progress."""

import html

from resnet_cifar.recipe.config import Recipe
from resnet_cifar.report.text import duration, gibibytes, percent
from resnet_cifar.runs.status import State

_PHASES = {
    "download": "downloading",
    "features": "computing features",
    "compile": "compiling, takes about a minute",
    "evaluate": "evaluating",
    "test": "testing",
}


def live_card(state: State, recipe: Recipe, stopping: bool) -> str:
    """Return the card: name, status, progress, stages and metrics."""
    status = "stopping" if stopping else state.status
    return (
        f"<div class='live card'><div class='head'><h2>{html.escape(state.name)}</h2>"
        f"<span class='state {state.status}'>{status}</span>"
        f"<span class='activity'>{_activity(state, stopping)}</span></div>"
        f"{_bar(state)}{_stages(state, recipe)}<dl>{_facts(state)}</dl>{_reason(state)}</div>"
    )


def no_run_card() -> str:
    """Return the card shown when there are no runs."""
    return "<div class='live card'><p class='none'>No runs yet. Choose a recipe below and start training.</p></div>"


def _activity(state: State, stopping: bool) -> str:
    if stopping:
        return "saving, then stopping"
    if state.status != "running":
        return ""
    if state.phase is not None:
        return _PHASES[state.phase]
    if state.updated == 0 or not state.epochs_planned:
        return "starting"
    return f"{duration(state.seconds_left)} left" if state.seconds_left is not None else "starting"


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
        kind = "done" if done else "current" if number == state.stage else "coming"
        text = html.escape(stage.name)
        if kind == "current":
            text += f" <small>epoch {state.epoch} of {state.epochs}</small>"
        items.append(f"<li class='{kind}'{' aria-current=step' if kind == 'current' else ''}>{text}</li>")
    return f"<ol>{''.join(items)}</ol>"


def _facts(state: State) -> str:
    facts = {
        "loss": state.loss is not None and f"{state.loss:.3f}",
        "val top-1": state.val_top1 is not None and percent(state.val_top1),
        "best val": state.best_val_top1 is not None and percent(state.best_val_top1),
        "test top-1": state.test and percent(state.test.top1),
        "test top-5": state.test and percent(state.test.top5),
        "images/s": state.images_per_second and f"{state.images_per_second:,.0f}",
        "memory": state.memory and gibibytes(state.memory),
        "time": duration(state.seconds),
    }
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items() if value)


def _reason(state: State) -> str:
    return f"<p class='reason' role='alert'>{html.escape(state.reason)}</p>" if state.reason else ""
