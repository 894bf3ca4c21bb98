"""The price of a run: its estimated time and memory on this machine, and how busy the machine is."""

import html
import threading
import time

import torch

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.report.text import duration, gibibytes, roughly
from resnet_cifar.system.device import count, describe
from resnet_cifar.system.load import busy_cores, cores
from resnet_cifar.training.estimate import Estimate, Estimates

_LONG, _VERY_LONG = 2 * 3600, 24 * 3600  # seconds
_BUSY = 0.25  # of all cores, and half a core at least: fewer do not slow down a run much
_MEASURE_EVERY = 20.0  # seconds


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
            return self._pending(recipe), False
        return estimate_line(estimate, self._device), estimate.bytes is not None

    def _pending(self, recipe: Recipe) -> str:
        if self._estimates.busy:
            return "<p class='price later'>Estimate of time and memory: available when the current run has ended</p>"
        done = round(100 * self._estimates.progress(recipe))
        bar = f"<progress max='100' value='{done}' aria-label='trial'>{done} %</progress>"
        return f"<p class='price'>Measuring how fast this machine trains this recipe … {bar}</p>"

    def question(self, recipe: Recipe) -> str | None:
        """Return what to ask before a run that takes longer than a day is started; None for others and unknown ones."""
        try:
            estimate = self._estimates.of(recipe)
        except UserError:
            return None
        if estimate is None or estimate.seconds < _VERY_LONG:
            return None
        return f"This takes {roughly(estimate.seconds)} here. Start anyway?"


def estimate_line(estimate: Estimate, device: str) -> str:
    """Format an estimate as HTML; long times stand out."""
    kind = "very long" if estimate.seconds >= _VERY_LONG else "long" if estimate.seconds >= _LONG else "short"
    source = f"as in {html.escape(estimate.earlier_run)}" if estimate.earlier_run else "measured just now"
    speed = f": {estimate.images_per_second:,.0f} images/s ({source})" if estimate.images_per_second else ""
    memory = f", {gibibytes(estimate.bytes)} of memory" if estimate.bytes else ""
    took = f"<b class='{kind}'>{duration(estimate.seconds)}</b>"
    return f"<p class='price'>About {took} on {html.escape(device)}{speed}{memory}.</p>"


def wrong(sentence: str) -> str:
    """Format a sentence that takes the place of the price: what stands in the way of the run."""
    return f"<p class='price wrong' role='alert'>{html.escape(sentence)}</p>"


class Load:
    """Tells pages how busy the machine is. Measured in the background, and only while pages ask."""

    def __init__(self) -> None:
        self._busy = 0.0
        self._measured = -_MEASURE_EVERY
        self._lock = threading.Lock()

    def sentence(self) -> str | None:
        """Return that the machine is busy, if it was when measured last; measure again if that is a while ago."""
        with self._lock:
            if time.monotonic() - self._measured >= _MEASURE_EVERY:
                self._measured = time.monotonic()
                threading.Thread(target=self._measure, name="load", daemon=True).start()
        if self._busy < max(0.5, _BUSY * cores()):
            return None
        return (
            f"This machine is busy: {self._busy:.1f} of {cores()} cores are in use by other programs. Times measured "
            "meanwhile are too long, earlier ones too short."
        )

    def _measure(self) -> None:
        self._busy = busy_cores()
