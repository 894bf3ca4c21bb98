"""Keeps the runs of a Space in its bucket while the page is served, so that they outlive a restart."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_cifar.errors import UserError
from resnet_cifar.hub.catalog import deployed_run
from resnet_cifar.runs.mirror import Mirror

PAUSE = 30.0  # seconds between two copies


class Keeping:
    """Copies the runs every 30 seconds, in a thread, and once at the end. What fails is told once, and tried again."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._over = threading.Event()
        self._told = ""
        self._thread = threading.Thread(target=self._work, name="keeping", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Copy a last time, and wait until that is done."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(PAUSE):
            self._copy()
        self._copy()

    def _copy(self) -> None:
        try:
            self._mirror.copy()
            self._told = ""
        except Exception as error:  # whatever it is, the page goes on
            if str(error) != self._told:
                print(error if self._over.is_set() else f"{error} It is tried again every {PAUSE:g} s.", flush=True)
            self._told = str(error)


def keep_runs(root: Path, storage: Path) -> Keeping | None:
    """Restore the runs that a Space keeps in `storage` to `root`, and begin to keep those of `root` there.

    None where this is no Space, or nothing is mounted in it.
    """
    if "SPACE_ID" not in os.environ or not (storage.is_dir() and os.access(storage, os.W_OK)):
        return None
    mirror = Mirror(root, storage, without=deployed_run())
    try:
        mirror.restore()
    except UserError as error:
        print(error, flush=True)
    return Keeping(mirror)


@contextmanager
def until_kept(keeping: Keeping | None) -> Iterator[None]:
    """Take SIGTERM, with which a Space is told to end, as Ctrl-C within this context, and end it with a last copy."""
    if keeping is None:
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        keeping.end()
        signal.signal(signal.SIGTERM, before)
