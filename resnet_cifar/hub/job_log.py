"""The log of a Job, read in a thread: its reader can do other things, and stop reading at any time."""

import queue
import threading
from typing import Final

from huggingface_hub import HfApi

from resnet_cifar.hub.jobs import follow_log
from resnet_cifar.runs.rented import Rented

END: Final = object()


class JobLog:
    """Lines of a Job's log from its beginning, those that were read before too."""

    def __init__(self, api: HfApi, rented: Rented) -> None:
        self.error: Exception | None = None
        """What ended the log; None if the Job did."""
        self._lines: queue.SimpleQueue[object] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(api, rented), name="log of a Job", daemon=True).start()

    def next(self, seconds: float) -> object:
        """Return the next line, END at the end, or None if neither comes within `seconds`."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def _read(self, api: HfApi, rented: Rented) -> None:
        try:
            for line in follow_log(api, rented):
                self._lines.put(line)
        except Exception as error:  # whatever it is, the reader decides
            self.error = error
        self._lines.put(END)
