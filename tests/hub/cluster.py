"""Machines of the local Hub: a Job's command, run by this one, with folders in place of its volumes.

`pip` installs nothing: what an image has, and what is installed in it, is here already.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Program = Callable[["Job"], int]
"""What a Job does in place of its command; its exit code."""
ENDED = ("COMPLETED", "ERROR", "CANCELED", "DELETED")


@dataclass
class Job:
    """One Job: what was asked for, and how far it is."""

    owner: str
    spec: dict[str, Any]
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    stage: str = "SCHEDULING"
    message: str | None = None
    lines: list[tuple[str, str]] = field(default_factory=list)
    """Lines of its log, each with the time of the Hub."""
    attempt: int = 0
    process: "subprocess.Popen[str] | None" = None
    expired: bool = False

    @property
    def ended(self) -> bool:
        return self.stage in ENDED

    def say(self, line: str) -> None:
        self.lines.append((datetime.now(UTC).isoformat().replace("+00:00", "Z"), line))

    def cancel(self) -> None:
        """Ask it to end, as Kubernetes does."""
        if not self.ended:
            self.stage = "CANCELED"
            self.signal(signal.SIGTERM)

    def expire(self) -> None:
        """End this attempt, as when its time is over."""
        self.expired = True
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def described(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "dockerImage": self.spec["dockerImage"],
            "command": self.spec["command"],
            "arguments": [],
            "environment": self.spec["environment"],
            "flavor": self.spec["flavor"],
            "labels": self.spec["labels"],
            "status": {"stage": self.stage, "message": self.message},
            "owner": {"id": "0", "name": self.owner, "type": "user"},
        }


class Cluster:
    """All Jobs and buckets of a Hub."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="resnet_cifar-hub-"))
        self.jobs: list[Job] = []
        self.program: Program | None = None
        """Runs in place of the commands of Jobs that start from now on."""

    def bucket(self, name: str) -> Path:
        """Folder of a bucket."""
        return self.folder / "buckets" / name

    def visibility(self, name: str) -> str:
        """Who can see a bucket: `private` or `public`."""
        return (self.bucket(name).parent / f".{self.bucket(name).name}").read_text()

    def start(self, job: Job, code: dict[str, bytes]) -> None:
        """Start a Job, whose repo holds `code`."""
        self.jobs.append(job)
        work = self.program or (lambda job: self._run(job, code))
        threading.Thread(target=self._attempts, args=(job, work), daemon=True).start()

    def log(self, job: Job) -> Iterator[bytes]:
        """Yield the log as server-sent events, until the Job has ended."""
        sent = 0
        while True:
            ended = job.ended and (job.process is None or job.process.poll() is not None)
            for when, text in job.lines[sent:]:
                sent += 1
                yield f"data: {json.dumps({'timestamp': when, 'data': text})}\n\n".encode()
            if ended and sent == len(job.lines):
                return
            time.sleep(0.02)

    def close(self) -> None:
        for job in self.jobs:
            job.stage = job.stage if job.ended else "DELETED"
            job.signal(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _attempts(self, job: Job, work: Program) -> None:
        while not job.ended and job.attempt < job.spec.get("attempts", 1):
            job.attempt, job.expired, job.stage = job.attempt + 1, False, "RUNNING"
            job.say(f"===== Job started at {datetime.now(UTC)} =====")
            code = work(job)
            if job.stage in ENDED:
                return
            if code == 0 and not job.expired:
                job.stage = "COMPLETED"
                return
            job.message = "Job timeout" if job.expired else f"Job failed with exit code: {code}"
            if job.attempt == job.spec.get("attempts", 1):
                job.stage = "ERROR"

    def _run(self, job: Job, code: dict[str, bytes]) -> int:
        machine = Path(tempfile.mkdtemp(prefix=f"{job.id}-", dir=self.folder))
        places = {volume["mountPath"]: self._mounted(volume, code, machine) for volume in job.spec["volumes"]}
        (machine / "bin").mkdir()
        for name, does in (("pip", ""), ("python", f'exec {sys.executable} "$@"')):
            (machine / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
            (machine / "bin" / name).chmod(0o755)
        plain = {"PATH": f"{machine}/bin:/usr/bin:/bin", "HOME": str(machine), "TMPDIR": str(machine)}
        plain |= {"OMP_NUM_THREADS": "1", "RESNET_CIFAR_TESTS_TMPDIR": str(machine)}
        job.process = subprocess.Popen(
            [_inside(word, places) for word in job.spec["command"]],
            env=plain | job.spec["environment"] | job.spec.get("secrets", {}),
            cwd=machine,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert job.process.stdout is not None
        with job.process.stdout as said:
            for line in said:
                job.say(line.rstrip("\n"))
        return job.process.wait()

    def _mounted(self, volume: dict[str, Any], code: dict[str, bytes], machine: Path) -> Path:
        if volume["type"] == "bucket":
            return self.bucket(volume["source"])
        folder = machine / "repo"
        for name, content in code.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder


def _inside(word: str, places: dict[str, Path]) -> str:
    """A word of a command, with the folder that stands for a volume in place of its path."""
    for path, folder in places.items():
        if word == path or word.startswith(f"{path}/"):
            return str(folder) + word.removeprefix(path)
    return word
