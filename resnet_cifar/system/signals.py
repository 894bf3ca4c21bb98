"""Stop requests: Ctrl-C, SIGTERM or a file named `stop` in the run's folder. A run finishes its current step first."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from resnet_cifar.errors import UserError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def blocked() -> Iterator[None]:
    """Within this context, start processes that a SIGTERM reaches only when they are ready to record it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopRequests:
    """Context in which SIGINT and SIGTERM are recorded as stop requests.

    `once`: restore the previous handlers after the first signal, so that a second one ends the process. False where
    several processes train: their launcher sends each signal to all of them, so one Ctrl-C can arrive twice.
    """

    def __init__(self, stop_file: Path, once: bool = True) -> None:
        self._stop_file = stop_file
        self._once = once
        self._signal: str | None = None
        self._before: dict[int, Any] = {}

    def requested(self) -> str | None:
        """Return the origin of the request: SIGINT, SIGTERM or `stop file`; None if there is none."""
        return self._signal or ("stop file" if os.path.exists(self._stop_file) else None)

    def __enter__(self) -> "StopRequests":
        try:
            self._stop_file.unlink(missing_ok=True)  # a request to an earlier process
        except OSError as error:  # it would end this one at once
            if os.path.lexists(self._stop_file):
                why = f"which asks the run to stop: {error.strerror}"
                raise UserError(f"cannot remove {self._stop_file}, {why}.") from error
        if threading.current_thread() is threading.main_thread():
            numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._record) for number in numbers}
            signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)  # `blocked` holds them back until here
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        with suppress(OSError):  # the run has ended with its event; the next one refuses to start
            self._stop_file.unlink(missing_ok=True)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        if self._once:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
