"""The Inspect tab: what a model knows, where it fails, and why. It reads what is stored; computing is asked for."""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
import torch

from resnet_cifar.errors import UserError
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.inspect import views, wrong
from resnet_cifar.ui.inspect.inspected import Inspected
from resnet_cifar.ui.inspect.offers import Offers
from resnet_cifar.ui.inspect.panel import answering, panel
from resnet_cifar.ui.inspect.robust import robustness
from resnet_cifar.ui.inspect.views import name_of, split_of
from resnet_cifar.ui.inspect.zone import why_zone
from resnet_cifar.ui.options import QUIET
from resnet_cifar.ui.rights import Rights


def inspect_tab(models: Models, rights: Rights, device: torch.device, model: gr.State) -> None:
    """Build the tab. `model`: the name of the one that answers in Classify, which is looked at first."""
    inspected = Inspected(models)
    offers = Offers(inspected, rights, device)

    def facts(question: Mapping[str, Any]) -> dict[str, Any]:
        name, split = name_of(question), split_of(question)
        found = inspected.predictions(name, split)
        return {
            "stored": found is not None,
            "numbers": None if found is None else views.numbers(found),
            "offer": offers.offer(name, split, "predictions") if found is None else None,
            "val": inspected.has_val(name),
            "labels": views.by_name(models.labels(name)),
        }

    def offered(question: Mapping[str, Any]) -> dict[str, Any]:
        return offers.offer(name_of(question), split_of(question), str(question["kind"]))

    work: dict[str, Callable[[Any], Any]] = {"begin": offers.begin, "halt": offers.halt, "progress": offers.progress}
    shown: dict[str, Callable[[Any], Any]] = {
        "models": lambda _: _models(models),
        "facts": facts,
        "calibration": lambda question: views.calibration(inspected, question),
        "confused": lambda question: views.confused(inspected, question),
        "cell": lambda question: views.cell(inspected, question),
        "classes": lambda question: views.classes(inspected, question),
        "worst": lambda question: wrong.worst(inspected, question),
        "suspects": lambda question: wrong.suspects(inspected, question),
        "robustness": lambda question: robustness(inspected, offers, question),
    }

    def sentence(error: UserError) -> str:
        return rights.without(models.root, error)

    with gr.Column(elem_classes="inspect-tab"):
        main = panel(
            models.default(), {name: answering(name, answer, sentence) for name, answer in (shown | work).items()}
        )
        asked = {"offer": offered, **work}
        why_zone(inspected, {name: answering(name, answer, sentence) for name, answer in asked.items()})
    model.change(lambda name: name, model, main, **QUIET)


def _models(models: Models) -> dict[str, Any]:
    """Return all models with their accuracy, the most accurate first, and the one to look at first."""
    names = [name for part in models.ranked() for name in part]
    return {"names": [[name, f"{name}, {models.accuracy(name).text()}"] for name in names], "first": models.default()}
