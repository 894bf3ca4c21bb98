"""How busy the machine's cores are, and how many threads are worth starting."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

_STAT = Path("/proc/stat")
_WINDOW = 0.3  # seconds between two readings
_IDLE = slice(3, 5)  # idle and iowait, among the columns of a core
_COUNTED = 8  # columns; those after them repeat the time of guests


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_cores() -> float:
    """Measure how many of these cores other programs use now. Takes 0.3 s on Linux."""
    load = Load()
    time.sleep(_WINDOW)
    return load.busy()


class Load:
    """How many of these cores other programs use, from one question to the next."""

    def __init__(self, window: float = _WINDOW) -> None:
        self._window = window
        self._busy = 0.0
        self._read()

    def _read(self) -> None:
        self._times, self._ours, self._at = _times(), time.process_time(), time.monotonic()

    def busy(self) -> float:
        """Return the mean since the last answer. It stays the same for `window` seconds."""
        before, ours, at = self._times, self._ours, self._at
        if time.monotonic() - at < self._window:
            return self._busy
        self._read()
        if not before:
            return min(float(cores()), os.getloadavg()[0])
        used = sum(_busy_part(before[core], now) for core, now in self._times.items() if core in before)
        self._busy = max(0.0, used - (self._ours - ours) / (self._at - at))
        return self._busy


def free_threads(busy: float) -> int:
    """Return the number of threads for a computation: one for each free core, at least one.

    Threads that wait for each other and share their cores with other programs are slower than a single one.
    """
    return max(1, cores() - round(busy))


def _times() -> dict[int, list[int]]:
    """Read the time that each of our cores has spent in each state; empty where that cannot be read."""
    try:
        lines = _STAT.read_text().splitlines()
    except OSError:
        return {}
    allowed = os.sched_getaffinity(0)
    named = [line.split() for line in lines if line.startswith("cpu") and line[3].isdigit()]
    return {int(name[3:]): [*map(int, times)] for name, *times in named if int(name[3:]) in allowed}


def _busy_part(before: Sequence[int], now: Sequence[int]) -> float:
    spent = [end - start for start, end in zip(before[:_COUNTED], now[:_COUNTED], strict=True)]
    return (sum(spent) - sum(spent[_IDLE])) / max(1, sum(spent))
