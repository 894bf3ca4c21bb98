"""Texts around the images: what a model can recognize, and which other models there are."""

import html
from collections.abc import Mapping, Sequence

from resnet_cifar.recipe.classes import COARSE, FINE, FINE_TO_COARSE
from resnet_cifar.ui.classify.cards import kind_of, words_of


def introduction(labels: Sequence[str]) -> str:
    """Say what the page does, with the folded list of a model's classes."""
    everyday = " everyday" if _is_cifar100(labels) else ""
    return (
        f"<p class='lead'>Shows which of {len(labels) or len(FINE)}{everyday} things is in a photo</p>"
        f"<details class='classes'><summary>See all {len(labels) or len(FINE)} of them</summary>"
        f"{_classes(labels or FINE)}</details>"
    )


def _classes(labels: Sequence[str]) -> str:
    """List classes by superclass; in one group if they are not CIFAR-100's."""
    groups: dict[str, list[str]] = {}
    known = _is_cifar100(labels)
    for label in labels:
        kind = kind_of(COARSE[FINE_TO_COARSE[FINE.index(label)]]) if known else "its classes"
        groups.setdefault(kind, []).append(words_of(label))
    rows = "".join(f"<div><dt>{kind}</dt><dd>{', '.join(names)}</dd></div>" for kind, names in sorted(groups.items()))
    return f"<dl>{rows}</dl>"


def _is_cifar100(labels: Sequence[str]) -> bool:
    """Whether labels are CIFAR-100's, or there is no model; other classes may have the same names."""
    return tuple(labels or FINE) == FINE


def fetching_note(model: str) -> str:
    """Return the note shown while a model is downloaded from the Hub."""
    return f"<p class='model-note' role='status'>Downloading {html.escape(model)} from the Hugging Face Hub …</p>"


def fault_note(error: str, answering: str | None) -> str:
    """Return the note that says why a model cannot be used, and which one goes on answering."""
    still = f" {html.escape(answering)} goes on answering." if answering else ""
    return f"<p class='model-note fault' role='alert'>{html.escape(error)}{still}</p>"


def more_models(others: Mapping[str, str], faults: Mapping[str, str]) -> str:
    """Return two folded lists: barely trained models, which can be chosen, and unusable folders; empty if none."""
    buttons = "".join(
        f"<li><button type='button' value='{html.escape(name)}'>{html.escape(name)}</button> {html.escape(text)}</li>"
        for name, text in others.items()
    )
    reasons = "".join(f"<li><b>{html.escape(name)}</b> {html.escape(fault)}</li>" for name, fault in faults.items())
    count = f"{len(others)} more {'model' if len(others) == 1 else 'models'}, barely trained or never tested"
    folders = "1 folder" if len(faults) == 1 else f"{len(faults)} folders"
    return _folded("more", count, buttons) + _folded("unusable", f"{folders} cannot be used", reasons)


def _folded(name: str, title: str, rows: str) -> str:
    return f"<details class='{name}'><summary>{title}</summary><ul>{rows}</ul></details>" if rows else ""
