"""Long computations of the Inspect tab: one at a time, in a thread of low priority, the same for all visitors."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.system.priority import giving_way

Work = Generator[Progress, None, Any]
"""A computation that stores its own result."""
_UNEXPECTED = "The computation failed unexpectedly; the terminal in which the page runs shows why."


@dataclass
class _Job:
    work: Callable[[], Work]
    began: float | None = None
    progress: Progress | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    error: str = ""


class Works:
    """Computations by name. A page asks for their state, so that a reload or a second visitor sees the same one."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def start(self, name: str, work: Callable[[], Work]) -> None:
        """Start a computation, or let it wait for its turn. One that is at work already goes on."""
        with self._lock:
            if name in self._jobs and not self._jobs[name].error:
                return
            job = self._jobs[name] = _Job(work)
        threading.Thread(target=self._run, args=(name, job), name="inspection", daemon=True).start()

    def stop(self, name: str) -> None:
        """Stop a computation at its next progress, or forget why it failed. What it has done is lost."""
        with self._lock:
            if (job := self._jobs.get(name)) is None:
                return
            job.stopped.set()
            if job.error or job.began is None:
                del self._jobs[name]

    def state(self, name: str) -> dict[str, Any] | None:
        """Return how far a computation is, or why it failed; None if it has ended or was never started."""
        with self._lock:
            job = self._jobs.get(name)
        if job is None:
            return None
        if job.error:
            return {"error": job.error}
        if job.began is None:
            return {"waiting": True}
        done, total = (job.progress.done, job.progress.total) if job.progress else (0, 0)
        left = (time.monotonic() - job.began) * (total - done) / done if done else None
        phase = job.progress.phase if job.progress else ""
        return {"phase": phase, "done": done, "total": total, "left": left, "stopping": job.stopped.is_set()}

    def _run(self, name: str, job: _Job) -> None:
        with giving_way(), self._turn:
            try:
                self._work(job)
            except UserError as error:
                job.error = str(error)
            except Exception:
                job.error = _UNEXPECTED
                raise
            finally:
                with self._lock:
                    if not job.error and self._jobs.get(name) is job:
                        del self._jobs[name]

    def _work(self, job: _Job) -> None:
        with self._lock:
            if job.stopped.is_set():
                return
            job.began = time.monotonic()
        with closing(job.work()) as work:
            for progress in work:
                if job.progress is None or progress.phase != job.progress.phase:
                    job.began = time.monotonic()  # a download says nothing about the time of what follows
                job.progress = progress
                if job.stopped.is_set():
                    return
