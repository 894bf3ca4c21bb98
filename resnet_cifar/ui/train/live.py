"""The card that shows where a run stands."""

import html

from resnet_cifar.recipe.config import Recipe
from resnet_cifar.report.text import duration, gibibytes, percent
from resnet_cifar.runs.status import State

_DOING = {
    "download": "downloading",
    "features": "computing features",
    "compile": "compiling, which takes a minute",
    "evaluate": "evaluating",
    "test": "testing",
}


def live_card(state: State, recipe: Recipe, stopping: bool) -> str:
    """A run at a glance: what it is doing, how far it is, and how well it does."""
    status = "stopping" if stopping else state.status
    return (
        f"<div class='live card'><div class='head'><h2>{html.escape(state.name)}</h2>"
        f"<span class='state {state.status}'>{status}</span><span class='doing'>{_doing(state, stopping)}</span></div>"
        f"{_bar(state)}{_stages(state, recipe)}<dl>{_facts(state)}</dl>{_reason(state)}</div>"
    )


def no_run_card() -> str:
    """What stands in its place before there is any run."""
    return "<div class='live card'><p class='none'>Nothing is training. Choose a recipe below and start.</p></div>"


def _doing(state: State, stopping: bool) -> str:
    if stopping:
        return "saving all it has, then it stops"
    if state.status != "running":
        return ""
    if state.phase is not None:
        return _DOING[state.phase]
    if state.updated == 0 or not state.epochs_planned:
        return "starting"
    return f"{duration(state.seconds_left)} left" if state.seconds_left is not None else "starting"


def _bar(state: State) -> str:
    share = 100 * state.part_done
    return (
        f"<div class='progress' role='progressbar' aria-label='part of the run that is done' aria-valuemin='0' "
        f"aria-valuemax='100' aria-valuenow='{share:.0f}'><i style='width:{share:.2f}%'></i></div>"
    )


def _stages(state: State, recipe: Recipe) -> str:
    """The stages in a row: those behind, the one at hand, those ahead."""
    items = []
    for number, stage in enumerate(recipe.stages, start=1):
        behind = number < state.stage or state.status == "completed"
        kind = "behind" if behind else "now" if number == state.stage else "ahead"
        text = html.escape(stage.name)
        if kind == "now":
            text += f" <small>epoch {state.epoch} of {state.epochs}</small>"
        items.append(f"<li class='{kind}'{' aria-current=step' if kind == 'now' else ''}>{text}</li>")
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
