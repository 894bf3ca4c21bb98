"""Adds times to the events of the loop, which knows no clock itself."""

import time
from collections.abc import Iterator
from dataclasses import replace

from resnet_cifar.events import EpochEnded, Event, Progress, RunCompleted, StageStarted, StepLogged


class Stopwatch:
    """Measures the time until each event, not the time that its consumer takes."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._run = self._epoch = self._window = 0.0  # seconds
        self._images = 0  # of the epoch, before the current window

    def state(self) -> list[float]:
        """Values for `restore` in another process."""
        return [self._run, self._epoch, self._window, self._images]

    def restore(self, state: list[float]) -> None:
        """Continue from what `state` returned."""
        self._run, self._epoch, self._window = state[:3]
        self._images = int(state[3])

    def lap(self) -> None:
        """Start timing the next event."""
        self._began = time.perf_counter()

    def timed(self, events: Iterator[Event]) -> Iterator[Event]:
        """Yield the same events with their times filled in."""
        while True:
            self.lap()
            event = next(events, None)
            if event is None:
                return
            yield self._timed(event, time.perf_counter() - self._began)

    def _timed(self, event: Event, took: float) -> Event:
        self._run += took
        if isinstance(event, StageStarted):
            self._begin_epoch()
        elif isinstance(event, StepLogged) or (isinstance(event, Progress) and event.phase == "train"):
            self._window += took
            self._epoch += took
        if isinstance(event, StepLogged):
            event = replace(event, images_per_second=_rate(event.images - self._images, self._window))
            self._images, self._window = event.images, 0.0
        elif isinstance(event, EpochEnded):
            rate = _rate(self._images, self._epoch)
            event = replace(event, seconds=round(self._epoch, 3), images_per_second=rate)
            self._begin_epoch()
        elif isinstance(event, RunCompleted):
            event = replace(event, seconds=round(self._run, 3))
        return event

    def _begin_epoch(self) -> None:
        self._epoch = self._window = 0.0
        self._images = 0


def _rate(images: int, seconds: float) -> float:
    return round(images / max(seconds, 1e-9), 1)
