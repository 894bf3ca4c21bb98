"""Queued runs, in real child processes: each takes 2 to 3 s to import torch before it trains."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.errors import UserError
from resnet_cifar.runs import locks
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import identity
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.queue import Queue
from tests.builders import CPU, checkpoint, recipe, stage, start, wait

pytestmark = pytest.mark.process

SHORT, LONG = recipe(stage(epochs=1)), recipe(stage(epochs=1000))


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """A queue none of whose runs outlives the test."""
    yield Queue(Launcher(tmp_path, CPU))
    for folder in tmp_path.iterdir():
        run = RunDir(folder)
        run.queued_file.unlink(missing_ok=True)
        if (holder := run.holder()) and holder.pid:
            os.kill(holder.pid, signal.SIGKILL)
            wait(lambda run=run: run.holder() is None)


def begun(run: RunDir) -> float:
    return next(time for event, time in run.history() if isinstance(event, events.RunStarted))


def test_queued_runs_run_one_after_the_other(tmp_path: Path, queue: Queue):
    """Three children: about 10 s. Two queues over the same folder, as of two pages, and each run starts once."""
    launcher, other = Launcher(tmp_path, CPU), Queue(Launcher(tmp_path, CPU))
    running = launcher.start(LONG, None)
    first, second = queue.add(SHORT, None, name="zebra"), other.add(SHORT, None, name="ant")
    assert [first.status(), second.status()] == ["queued", "queued"]
    assert [run.name for run in queue.waiting()] == ["zebra", "ant"]
    with pytest.raises(UserError, match="already exists"):
        queue.add(SHORT, None, name="ant")
    launcher.stop(running)
    wait(lambda: first.status() == second.status() == "completed")
    assert not first.queued_file.exists() and not second.queued_file.exists()
    ended = [time for event, time in first.history() if isinstance(event, events.RunCompleted)]
    assert len(ended) == 1 and begun(second) > ended[0]
    assert sum(isinstance(event, events.RunStarted) for event, _ in second.history()) == 1


FILL_AND_WAIT = """
import sys, time
from pathlib import Path
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.queue import Queue
from tests.training.test_queue import CPU, SHORT

print(Queue(Launcher(Path(sys.argv[1]), CPU)).add(SHORT, None).path, flush=True)
time.sleep(60)
"""


def test_the_queue_of_a_killed_process_goes_on_with_the_next(tmp_path: Path, queue: Queue):
    """Imports torch in two children: about 6 s."""
    with locks.locked(locks.device_file(identity(CPU)), "a run"):
        parent = start("-c", FILL_AND_WAIT, tmp_path)
        assert parent.stdout is not None
        run = RunDir(Path(parent.stdout.readline().strip()))
        parent.kill()
        parent.communicate()
    assert run.status() == "queued"
    queue.attend()
    wait(lambda: run.status() == "completed")


def test_stopping_a_queued_run_takes_it_off_the_queue(tmp_path: Path, queue: Queue):
    with locks.locked(locks.device_file(identity(CPU)), "a run"):
        one, other = queue.add(LONG, None), queue.add(LONG, None)
        Launcher(tmp_path, CPU).stop(one)
        assert one.status() == "stopped" and [run.name for run in queue.waiting()] == [other.name]
        other.delete()  # so does deleting it
        assert queue.waiting() == []
        queue.attend()


def test_a_run_is_resumed_when_its_turn_comes(tmp_path: Path, queue: Queue):
    """Two children: about 7 s. What its weights once started from is gone by then, and no longer needed."""
    start_from, launcher = checkpoint(tmp_path / "start"), Launcher(tmp_path, CPU)
    run = launcher.start(recipe(stage(epochs=1000), init=str(start_from), val_images=0), None)
    wait(lambda: any(isinstance(event, events.EpochEnded) for event, _ in run.history()))
    launcher.stop(run)
    wait(lambda: run.status() == "stopped" and launcher.at_work() is None)  # the device is free a moment later
    shutil.rmtree(start_from)
    with locks.locked(locks.device_file(identity(CPU)), "a run"):
        queue.resume(run)
        assert run.status() == "queued"
    wait(lambda: any(isinstance(event, events.RunResumed | events.RunFailed) for event, _ in run.history()))
    assert run.status() == "running" and not run.queued_file.exists()
    assert not isinstance(run.last_event(), events.RunFailed)


def test_a_run_that_cannot_start_says_why_and_the_next_one_is_tried(
    tmp_path: Path, queue: Queue, monkeypatch: pytest.MonkeyPatch
):
    """Starts a child: about 4 s."""
    with locks.locked(locks.device_file(identity(CPU)), "a run"), monkeypatch.context() as patch:
        patch.setattr(queue, "attend", lambda: None)  # or it could have read what is changed here
        torn, unreadable, good = (queue.add(SHORT, None) for _ in range(3))
        queue.start_next()  # the device is in use: nothing changes
        torn.queued_file.write_text("{")
        asked = json.loads(unreadable.queued_file.read_text())
        unreadable.queued_file.write_text(json.dumps(asked | {"data_dir": str(tmp_path / "nowhere")}))
        unreadable.recipe_file.write_text(recipe(stage(epochs=1), data="cifar100").to_json())
        assert [run.status() for run in (torn, unreadable, good)] == ["queued"] * 3
    queue.attend()
    wait(lambda: good.status() == "completed")
    for run, why in ((torn, "queued.json can't be used"), (unreadable, "nowhere")):
        last = run.last_event()
        assert run.status() == "failed" and isinstance(last, events.RunFailed) and why in last.reason


def test_bad_requests_leave_no_folder(tmp_path: Path, queue: Queue):
    with pytest.raises(UserError, match="nowhere"):
        queue.add(recipe(data="cifar100"), tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())
