"""Robustness of a run: accuracy under corruptions of growing strength, as small multiples."""

from collections.abc import Mapping
from typing import Any

from resnet_cifar.inspection.robustness import Robustness, stored
from resnet_cifar.report.robustness import robustness_figures
from resnet_cifar.report.text import percent
from resnet_cifar.ui.inspect.inspected import Inspected
from resnet_cifar.ui.inspect.offers import Offers
from resnet_cifar.ui.inspect.views import name_of, split_of

_TITLES = {"noise": "Noise", "blur": "Blur", "contrast": "Low contrast", "brightness": "Brightness", "jpeg": "JPEG"}


def robustness(inspected: Inspected, offers: Offers, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return a figure of each corruption; without a measurement, the offer to make one."""
    name = name_of(question)
    found = stored(inspected.run(name))
    if found is None:
        return {"figures": [], "offer": offers.offer(name, split_of(question), "robustness"), "said": ""}
    figures = [
        {"name": _TITLES.get(corruption, corruption), "figure": figure.to_json()}
        for corruption, figure in robustness_figures(found.clean, found.top1).items()
    ]
    return {"figures": figures, "offer": None, "said": _said(found)}


def _said(found: Robustness) -> str:
    text = (
        f"Top-1 on {found.images:,} test images, clean ({percent(found.clean)}) and under five strengths of each "
        f"corruption. The mean over all corruptions is {percent(found.mean_top1)}. The "
        "corruptions are this project's own, so the numbers are not those of CIFAR-100-C."
    )
    if found.cifar100c_mean_top1 is not None:
        text += f" On the official files of CIFAR-100-C, the mean is {percent(found.cifar100c_mean_top1)}."
    return text
