"""Puts times to what the loop says, which knows no clock itself."""

import time
from collections.abc import Iterator
from dataclasses import replace

from resnet_cifar.events import EpochEnded, Event, Progress, RunCompleted, StageStarted, StepLogged


class Stopwatch:
    """Counts the time that events took to come, not what their consumer does with them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Of the whole run; what earlier processes took may be put in."""
        self.images = 0
        """Of the epoch at hand; where a run is resumed, what was trained on before is to be put in."""
        self._window = self._epoch = 0.0
        self._epoch_images = 0

    def timed(self, events: Iterator[Event]) -> Iterator[Event]:
        """The same events, with their times filled in."""
        while True:
            began = time.perf_counter()
            event = next(events, None)
            if event is None:
                return
            yield self._timed(event, time.perf_counter() - began)

    def _timed(self, event: Event, took: float) -> Event:
        self.seconds += took
        if isinstance(event, StageStarted):
            self.images = self._epoch_images = 0
            self._window = self._epoch = 0.0
        elif isinstance(event, StepLogged) or (isinstance(event, Progress) and event.phase == "train"):
            self._window += took
            self._epoch += took
        if isinstance(event, StepLogged):
            fresh, self.images = event.images - self.images, event.images
            self._epoch_images += fresh
            event = replace(event, images_per_second=round(fresh / max(self._window, 1e-9), 1))
            self._window = 0.0
        elif isinstance(event, EpochEnded):
            rate = round(self._epoch_images / self._epoch, 1) if self._epoch else None
            event = replace(event, seconds=round(self._epoch, 3), images_per_second=rate)
            self.images = self._epoch_images = 0
            self._epoch = 0.0
        elif isinstance(event, RunCompleted):
            event = replace(event, seconds=round(self.seconds, 3))
        return event
