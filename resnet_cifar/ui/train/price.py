"""The price of a run: its estimated time and memory on this machine, as a line below the form."""

import html

import torch

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.report.text import duration, gibibytes
from resnet_cifar.system.device import count, describe
from resnet_cifar.training.estimate import Estimate, Estimates


class Price:
    """Answers what a recipe takes on a device. Asked again and again by pages while a trial is pending."""

    def __init__(self, estimates: Estimates, device: torch.device) -> None:
        self._estimates = estimates
        one = "one " if count(device) > 1 else ""
        self._device = one + describe(device)

    def line(self, recipe: Recipe) -> tuple[str, bool]:
        """Return the line with the recipe's estimated time and memory, and whether it is final."""
        try:
            estimate = self._estimates.of(recipe)
        except UserError as error:
            return wrong(str(error)), True
        if estimate is None:
            pending = "available when the current run has ended" if self._estimates.busy else "in progress …"
            return f"<p class='price'>Estimate of time and memory: {pending}</p>", False
        return estimate_line(estimate, self._device), estimate.bytes is not None


def estimate_line(estimate: Estimate, device: str) -> str:
    """Format an estimate as HTML."""
    source = f"as in {html.escape(estimate.earlier_run)}" if estimate.earlier_run else "measured just now"
    speed = f": {estimate.images_per_second:,.0f} images/s ({source})" if estimate.images_per_second else ""
    memory = f", {gibibytes(estimate.bytes)} of memory" if estimate.bytes else ""
    return f"<p class='price'>About <b>{duration(estimate.seconds)}</b> on {html.escape(device)}{speed}{memory}.</p>"


def wrong(sentence: str) -> str:
    """Format a sentence that takes the place of the price: what stands in the way of the run."""
    return f"<p class='price wrong' role='alert'>{html.escape(sentence)}</p>"
