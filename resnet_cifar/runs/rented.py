"""Where a run trains that is not on this machine: `job.json` in its folder.

It holds no token: whoever follows the run, stops it or resumes it does so with a login of their own.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from resnet_cifar import decode
from resnet_cifar.decode import Bounds
from resnet_cifar.errors import UserError
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system import files

FILE = "job.json"
_LARGEST = 100_000  # bytes

_Name = Annotated[str, Bounds(1, 200)]


@dataclass(frozen=True, kw_only=True)
class Rented:
    """A run's Jobs on the Hugging Face Hub: they follow each other, and go on from each other's saves."""

    namespace: _Name
    """User or organisation that pays."""
    hardware: _Name
    """Hardware by its name at the Hub, such as t4-small."""
    gpus: Annotated[int, Bounds(0, 64)]
    """GPUs of that hardware."""
    minutes: Annotated[int, Bounds(1, 100_000)]
    """Minutes after which the Hub ends a Job."""
    bucket: _Name
    """Bucket with the saves of all runs of the namespace."""
    folder: _Name
    """Folder of this run there, which no other run has ever had."""
    job: Annotated[str, Bounds(0, 200)] = ""
    """The newest Job; empty before the first has started."""
    ended: bool = False
    """Whether this Job is known to have ended."""
    stamp: Annotated[int, Bounds(0, 2**63 - 1)] = 0
    """Stamp of the last line of its log that is in `metrics.jsonl`."""

    @property
    def url_path(self) -> str:
        """Path of the Job's page."""
        return f"jobs/{self.namespace}/{self.job}"


def is_rented(run: RunDir) -> bool:
    """Return whether the run trains on rented hardware."""
    return os.path.lexists(_file(run))


def read_rented(run: RunDir) -> Rented:
    """Read where a run trains. Raises UserError if its file cannot be used."""
    try:
        text = files.read_text(_file(run), _LARGEST)
        return decode.build(Rented, decode.parse(text, "its content"), "its content")
    except OSError as error:
        raise files.cannot_read(_file(run), error) from error
    except UserError as error:
        raise UserError(f"{_file(run)} can't be used: {error}") from error


def check_deletable(run: RunDir) -> None:
    """Raise UserError for a run whose Job may still be at work, although no process follows it."""
    if is_rented(run) and run.status() in ("interrupted", "failed", "stopped") and _may_be_at_work(run):
        raise UserError(
            f"the Job of run {run.name!r} may still be at work, at your cost; resume the run to follow it, and stop it "
            "before you delete it."
        )


def _may_be_at_work(run: RunDir) -> bool:
    try:
        rented = read_rented(run)
    except UserError:  # it tells of no Job; whoever looks for one finds it at the Hub
        return False
    return bool(rented.job) and not rented.ended


def write_rented(run: RunDir, rented: Rented) -> None:
    """Write where a run trains. The caller holds the run's lock, or has just made its folder."""
    files.write_text(_file(run), json.dumps(asdict(rented), indent=2) + "\n")


def _file(run: RunDir) -> Path:
    return run.path / FILE
