"""The connection to a Job: requests and its log, however often the network is lost, until somebody asks to stop."""

import time
from collections.abc import Callable, Generator, Iterator
from json import JSONDecodeError
from typing import TypeVar

from huggingface_hub import HfApi

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.hub import jobs
from resnet_cifar.hub.job_log import END, JobLog
from resnet_cifar.runs.rented import Rented
from resnet_cifar.runs.run_dir import LARGEST_METRICS, RunDir
from resnet_cifar.system import files
from resnet_cifar.system.signals import StopRequests

T = TypeVar("T")

_PAUSES = (2.0, 5.0, 15.0, 60.0)  # seconds before each new try to reach the Hub, the last one again and again
_PATIENCE = 4  # failed tries to read a log, after which the Job may have ended without one


class Left(Exception):
    """The Job goes on without this process."""


class Stopped(Exception):
    """Somebody asked to stop the run."""


class Connection:
    """One process's connection to the Jobs of a run. Its methods raise Stopped and Left, wherever they wait."""

    def __init__(self, api: HfApi, stop: StopRequests, leave: Callable[[], bool] | None) -> None:
        self._api = api
        self._stop = stop
        self._leave = leave
        self._log: JobLog | None = None

    @property
    def asker(self) -> str | None:
        """Who asked to stop."""
        return self._stop.requested()

    def persist(self, ask: Callable[[], Generator[Progress, None, T]]) -> T:
        """Make a request, again and again while the Hub cannot be reached. Raises Stopped, Left and UserError."""
        tries = 0
        while True:
            try:
                return self._obediently(ask())
            except UserError as error:
                if not jobs.passes(error.__cause__):
                    raise
            self.pause(tries)
            tries += 1

    def _obediently(self, work: Generator[Progress, None, T]) -> T:
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value
            self._obey()

    def pause(self, tries: int) -> None:
        """Wait before a new try; longer with each one."""
        until = time.monotonic() + _PAUSES[min(tries, len(_PAUSES) - 1)]
        while time.monotonic() < until:
            self._obey()
            time.sleep(0.1)

    def _obey(self) -> None:
        """Raise Stopped if the run is to stop, and Left if only this process is to."""
        asker = self._stop.requested()
        if asker == "SIGINT" and self._leave is not None and self._leave():
            raise Left
        if asker is not None:
            raise Stopped

    def log(self, rented: Rented) -> Iterator[str]:
        """Yield the lines of a Job's log until it has ended, and empty ones while it is silent.

        After a lost connection the log begins anew. Raises UserError if it cannot be read.
        """
        tries = 0
        while True:
            self._log = JobLog(self._api, rented)
            self._obey()  # before a line is taken from the log, so that none is lost
            while (text := self._log.next(0.2)) is not END:
                tries = 0 if text else tries
                yield text if isinstance(text, str) else ""
                self._obey()
            if (error := self._log.error) is None:
                return
            if not jobs.passes(error) and not isinstance(error, JSONDecodeError):  # of an event that was cut in two
                raise jobs.explained(error, rented) from error
            self.pause(tries)
            tries += 1
            if tries > _PATIENCE and not jobs.is_at_work(self.persist(lambda: jobs.inspect(self._api, rented))[0]):
                return  # the bucket has what the log cannot tell any more

    def rest(self, until: float) -> Iterator[str]:
        """Yield what the log still has, up to a moment of the monotonic clock, whoever asked to stop."""
        while self._log is not None and time.monotonic() < until:
            if (text := self._log.next(0.2)) is END:
                return
            if isinstance(text, str):
                yield text

    def kept_record(self, rented: Rented, run: RunDir) -> bytes:
        """Return `metrics.jsonl` as the Job's last save left it in the bucket; nothing if there is no save yet."""
        target = run.path / ".tmp-kept"
        if not self.persist(lambda: jobs.fetch(self._api, rented, run.metrics_file.name, target)):
            return b""
        try:
            return files.read_bytes(target, LARGEST_METRICS)
        except OSError as error:
            raise files.cannot_read(target, error) from error
        finally:
            target.unlink(missing_ok=True)
