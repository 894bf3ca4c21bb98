"""Asking a run to stop: Ctrl-C, SIGTERM, or a file named `stop` in its folder. The run ends the step at hand first."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """While entered, Ctrl-C ends the process on the spot, with exit code 130.

    For the import of torch: a KeyboardInterrupt is lost, or fatal, where its C++ code imports numpy.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # it is ignored, or heard by a caller
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class StopRequests:
    """While entered, notes the first signal; a second one ends the process as if this were not here.

    `once`: whether that is so. Where several processes train, who started them passes each signal on to all.
    """

    def __init__(self, stop_file: Path, once: bool = True) -> None:
        self._stop_file = stop_file
        self._once = once
        self._signal: str | None = None
        self._before: dict[int, Any] = {}

    def requested(self) -> str | None:
        """Who asked: SIGINT, SIGTERM, `stop file`, or None while nobody has."""
        return self._signal or ("stop file" if os.path.exists(self._stop_file) else None)

    def __enter__(self) -> "StopRequests":
        self._stop_file.unlink(missing_ok=True)  # what was asked of an earlier process
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        self._stop_file.unlink(missing_ok=True)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        if self._once:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
