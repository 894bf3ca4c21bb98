"""What one real run printed and saved, played again as a Job of the local Hub."""

import io
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from resnet_cifar.events import Event
from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.runs.rented import read_rented
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.job import Keeper, restore
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe, stage
from tests.hub.cluster import Job
from tests.hub.server import HubServer

RECIPE = recipe(stage(name="first"), stage(name="second", epochs=1))


@dataclass
class Printed:
    """What a process printed, and for each line what was in the bucket when it was printed."""

    lines: list[str] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def printed(name: str, folder: Path, stop_at: int | None = None) -> Printed:
    """Train a run as a Job does, and write down what it prints. `stop_at`: line at which its power fails."""
    kept, told = folder / "kept", Printed()
    run = restore(name, kept, folder / "recipe.json")
    keeper = Keeper(run, kept)
    for event in train(run, device=CPU, data_dir=None):
        with redirect_stdout(io.StringIO()) as out:
            keeper.show(event)
        for line in out.getvalue().splitlines():
            told.lines.append(line)
            told.kept.append(Path(shutil.copytree(kept, folder / f"kept-{name}-{len(list(folder.iterdir()))}")))
        if len(told.lines) == stop_at:
            break
    return told


class Player:
    """A Job that prints what was printed, with what is in the bucket meanwhile; each attempt goes on from its save."""

    def __init__(self, hub: HubServer, run: RunDir, *attempts: Printed) -> None:
        self.folder = hub.cluster.bucket("me/resnet_cifar-runs") / read_rented(run).folder
        self.attempts = list(attempts)
        self.lost: set[int] = set()
        """Lines of an attempt that never reach the log."""
        self.before: Callable[[Job, int], None] = lambda job, number: None
        """Called before each line, with its number."""
        hub.cluster.program = self

    def __call__(self, job: Job) -> int:
        told = self.attempts.pop(0)
        job.say("installing what is missing")
        for number, (line, kept) in enumerate(zip(told.lines, told.kept, strict=True)):
            self.before(job, number)
            if job.stage in ("CANCELED", "DELETED"):
                return 143
            self.keep(kept)
            if number not in self.lost:
                job.say(line)
        return 0 if '"RunCompleted"' in told.lines[-1] else 137

    def keep(self, kept: Path) -> None:
        """Replace what is in the bucket, as far as it has changed."""
        self.folder.mkdir(exist_ok=True)
        for file in kept.iterdir():
            target, draft = self.folder / file.name, self.folder / "draft"
            if not target.exists() or target.read_bytes() != file.read_bytes():
                shutil.copyfile(file, draft)
                draft.replace(target)
        for gone in {file.name for file in self.folder.iterdir()} - {file.name for file in kept.iterdir()}:
            (self.folder / gone).unlink()


def kinds(said: list[Event]) -> list[str]:
    return [type(event).__name__ for event in said]


def expected(*attempts: Printed) -> list[str]:
    return [kind for told in attempts for kind in (line.split('"event": "')[1].split('"')[0] for line in told.lines)]


def whole(run: RunDir, attempts: tuple[Printed, Printed, RunDir]) -> None:
    """The run here is what the run there was."""
    kept = attempts[2]
    assert run.metrics_file.read_bytes() == kept.metrics_file.read_bytes()
    assert run.status() == "completed"
    for name in ("model.safetensors", "config.json", "eval.json"):
        assert (run.path / name).read_bytes() == (kept.path / name).read_bytes()
    load_checkpoint(run.path, CPU)
