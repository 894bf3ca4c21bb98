"""A run on rented hardware, seen from this machine: started, followed, stopped, and its weights fetched.

Whoever follows the run holds its lock, like a process that trains, but no device. The run's folder grows as if it were
trained here.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import torch
from huggingface_hub import HfApi

from resnet_cifar import events
from resnet_cifar.errors import UserError
from resnet_cifar.events import LONGEST_REASON, Event, Progress, RunCompleted, RunFailed, RunStopped
from resnet_cifar.hub import jobs
from resnet_cifar.hub.job_start import start_job
from resnet_cifar.model.checkpoint import CONFIG, MODEL, load_checkpoint
from resnet_cifar.model.unknown import UNKNOWN
from resnet_cifar.runs.relay import Line, Receiver
from resnet_cifar.runs.rented import Rented, read_rented, write_rented
from resnet_cifar.runs.results import read_results
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.background import at_once
from resnet_cifar.system.signals import StopRequests
from resnet_cifar.training.connection import Connection, Left, Stopped
from resnet_cifar.training.preflight import check_unfinished
from resnet_cifar.training.tariff import Tariff

_FILL_EVERY = 15.0  # seconds between two looks at the bucket while lines are missing
_NOTE_EVERY = 5.0  # seconds between two notes of how far the log was read
_GRACE = 15.0  # seconds that a cancelled Job gets for its last save; the launcher waits for 30
_LOOKS = 5  # at the bucket, before what a completed run wrote there is given up
_LINES = 12  # of the log, in the reason of a failure


def prepare(run: RunDir, namespace: str, price: Tariff) -> None:
    """Note in a new run's folder where it will train; nothing is started, and nothing costs anything yet."""
    write_rented(run, jobs.new_place(namespace, run.name, price.hardware, price.minutes))


def begin(run: RunDir, api: HfApi) -> Generator[Progress, None, Rented]:
    """See that a Job is at work on a run: the one that is, or the next one, which goes on from the last save.

    Raises UserError where none can be started, or another process follows the run.
    """
    rented = read_rented(run)
    with run.locked():
        if rented.job and jobs.is_at_work((yield from jobs.inspect(api, rented))[0]):
            return rented
        job = yield from start_job(api, run.name, run.recipe().to_json(), rented)
        rented = replace(rented, job=job, ended=False)
        try:
            write_rented(run, rented)
        except UserError:  # nothing here would name the Job
            yield from jobs.cancel(api, rented)
            raise
    return rented


def follow(
    run: RunDir, api: HfApi, *, inherited: Sequence[int] = (), leave: Callable[[], bool] | None = None
) -> Generator[Event, None, None]:
    """Follow a run's Job to its end, and yield the run's events as they are recorded.

    The last one is RunCompleted, RunStopped or RunFailed, as in `session.train`. A run without a Job at work continues
    in a new one, unless it turns out to be completed. A stop cancels the Job; its last save stays in the bucket.

    inherited: descriptors of locks that the parent process has taken. leave: asked after Ctrl-C whether the Job shall
    go on; then the events end without a last one.

    Raises UserError before the first event if another process follows this run, or if it is completed.
    """
    with run.locked(os.getpid(), inherited), StopRequests(run.stop_file) as stop:
        check_unfinished(run)
        yield from _Watch(run, api, stop, leave).events()


class _Watch:
    """One process's view of a run and its Job."""

    def __init__(self, run: RunDir, api: HfApi, stop: StopRequests, leave: Callable[[], bool] | None) -> None:
        self._run = run
        self._api = api
        self._rented = read_rented(run)
        self._line = Connection(api, stop, leave)
        self._receiver = Receiver(run, self._rented.stamp)
        self._said: deque[str] = deque(maxlen=_LINES)
        """Last lines of the log that are no events."""
        self._completed: RunCompleted | None = None
        """The run's last event, held back until its weights are here."""
        self._whole = b""
        """The record that ends with it."""
        self._last: Event | None = None
        self._noted = self._looked = time.monotonic()

    def events(self) -> Iterator[Event]:
        """Yield the run's events; the last one ends it, whatever happens."""
        try:
            for event in self._work():
                self._last = event
                yield event
        except Left:
            self._note()
        except Stopped:
            yield from self._cancel(self._line.asker or "SIGTERM")
        except UserError as error:
            self._note()
            yield self._record(RunFailed(reason=f"{error}{self._warning()}"[:LONGEST_REASON], user_error=True))

    def _work(self) -> Iterator[Event]:
        if not self._is_at_work():
            yield from self._settle()  # it may have been completed while nobody looked
            if self._completed is None:
                job = at_once(start_job(self._api, self._run.name, self._run.recipe().to_json(), self._rented))
                self._rented = replace(self._rented, job=job, ended=False)
                self._note()
                print(f"the Job is at {self._api.endpoint}/{self._rented.url_path}", flush=True)
        over = False
        while self._completed is None:
            for text in self._line.log(self._rented):
                yield from self._take(text) if text else self._look()
            yield from self._settle()
            if over or self._completed is not None:
                break
            self._line.pause(1)  # a failed attempt may be followed by another one, whose log is then read too
            over = not self._is_at_work()
        yield from self._end()

    def _is_at_work(self) -> bool:
        return bool(self._rented.job) and jobs.is_at_work(
            self._line.persist(lambda: jobs.inspect(self._api, self._rented))[0]
        )

    def _take(self, text: str) -> list[Event]:
        """Take a line of the log, and return the events that are new with it."""
        line = Line.parse(text.strip())
        if line is None:
            self._said.append(text.strip())
            return []
        if isinstance(line.event, RunCompleted):
            self._completed = line.event
            return []
        if time.monotonic() - self._noted > _NOTE_EVERY:
            self._note()
        return self._receiver.take(line)

    def _look(self) -> list[Event]:
        """Fill a gap from the bucket, which has the lines before the Job's last save."""
        if not self._receiver.lacks or time.monotonic() - self._looked < _FILL_EVERY:
            return []
        self._looked = time.monotonic()
        return self._receiver.fill(self._line.kept_record(self._rented, self._run))

    def _settle(self) -> list[Event]:
        """Take over what the bucket has of the record, but for the line that completes the run."""
        for tries in range(_LOOKS):
            whole = self._line.kept_record(self._rented, self._run)
            start = whole.rstrip(b"\n").rfind(b"\n") + 1
            with suppress(ValueError):
                event, _ = events.from_json(whole[start:].decode(errors="replace").strip())
                if isinstance(event, RunCompleted):
                    self._completed, self._whole = event, whole
                    return self._receiver.settle(whole[:start])
            if self._completed is None:
                break
            self._line.pause(tries)  # the Job said that it is completed: what it wrote is on its way
        return self._receiver.settle(whole) if whole else []

    def _end(self) -> Iterator[Event]:
        """End the run as its Job did."""
        if self._completed is not None:
            self._deliver(self._completed)
            yield from self._receiver.settle(self._whole)
        elif not isinstance(self._last, RunStopped | RunFailed):
            stage, message = self._line.persist(lambda: jobs.inspect(self._api, self._rented))
            if stage in ("CANCELED", "DELETED"):
                yield self._record(RunStopped(by="somebody at the Hugging Face Hub"))
            else:
                yield self._record(RunFailed(reason=self._reason(stage, message), user_error=False))
        self._note(ended=True)

    def _reason(self, stage: str, message: str) -> str:
        said = "\n".join(line for line in self._said if line)
        why = f": {message}" if message else ""
        tail = f" Its log ends with:\n{said}" if said else ""
        return f"the Job ended in stage {stage}{why}; resuming continues from the last save.{tail}"[:LONGEST_REASON]

    def _warning(self) -> str:
        """Say where the Job is, if it may go on although nobody follows it."""
        if not self._rented.job or self._rented.ended:
            return ""
        return f" The Job may go on, at your cost: {self._api.endpoint}/{self._rented.url_path}"

    def _deliver(self, completed: RunCompleted) -> None:
        """Download the results and the weights, and check them like any checkpoint. Raises UserError."""
        for name in (self._run.eval_file.name, UNKNOWN, CONFIG, MODEL):
            self._line.persist(partial(jobs.fetch, self._api, self._rented, name, self._run.path / name))
        load_checkpoint(self._run.path, torch.device("cpu"))
        results = read_results(self._run)
        if not self._whole or results is None or results.top1 != completed.test.top1:
            raise UserError(
                f"the bucket {self._rented.bucket} does not have the results of the whole run yet; try --resume "
                f"{self._run.handle} again in a minute."
            )

    def _cancel(self, by: str) -> Iterator[Event]:
        """Cancel the Job, take what it still says, and record that the run was stopped."""
        try:
            at_once(jobs.cancel(self._api, self._rented))
        except UserError as error:
            where = f"{self._api.endpoint}/{self._rented.url_path}"
            reason = f"the Job could not be cancelled, and may go on at your cost; cancel it at {where}: {error}"
            yield self._record(RunFailed(reason=reason[:LONGEST_REASON], user_error=True))
            return
        until = time.monotonic() + _GRACE
        for text in self._line.rest(until):
            line = Line.parse(text.strip())
            if line is not None and not isinstance(line.event, RunCompleted | RunStopped):
                yield from self._receiver.take(line)
        self._note(ended=True)
        yield self._record(RunStopped(by=by))

    def _note(self, ended: bool = False) -> None:
        """Note how far the log was read, and whether the Job is known to have ended."""
        self._noted = time.monotonic()
        self._rented = replace(self._rented, stamp=self._receiver.stamp, ended=ended or self._rented.ended)
        write_rented(self._run, self._rented)

    def _record(self, event: Event) -> Event:
        self._run.append(event)
        return event
