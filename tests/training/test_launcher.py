"""Real child processes: each takes 2 to 3 s to import torch before it trains."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.errors import UserError
from resnet_cifar.runs.locks import Holder
from resnet_cifar.runs.notes import read_notes
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training import launcher
from resnet_cifar.training.launcher import LOG, Launcher, log_tail
from tests.builders import CPU, recipe, stage, start, wait, within

pytestmark = pytest.mark.process

LONG = recipe(stage(epochs=1000))


@pytest.fixture
def launching(tmp_path: Path) -> Iterator[Launcher]:
    """A launcher none of whose runs outlives the test."""
    launcher = Launcher(tmp_path, CPU)
    yield launcher
    for folder in tmp_path.iterdir():
        holder = RunDir(folder).holder()
        if holder and holder.pid:
            os.kill(holder.pid, signal.SIGKILL)
            wait(lambda folder=folder: RunDir(folder).holder() is None and launcher.at_work() is None)


def trains(run: RunDir) -> bool:
    return isinstance(run.last_event(), events.StepLogged | events.EpochEnded)


def test_a_run_gets_the_name_and_notes_that_it_is_started_with(launching: Launcher):
    run = launching.start(LONG, None, name="mine", notes="a first try")
    assert run.name == "mine" and read_notes(run.path).text == "a first try"
    launching.stop(run)
    wait(lambda: run.status() != "running" and launching.at_work() is None)  # the device is free a moment later
    for name, why in (("mine", "already exists"), ("../mine", "not a valid name")):
        with pytest.raises(UserError, match=why):
            launching.start(LONG, None, name=name)


def test_a_run_is_started_stopped_resumed_and_completed(launching: Launcher):
    """Imports torch in two children, and trains 4 epochs: about 9 s."""
    run = launching.start(recipe(stage(epochs=4)), None)
    assert run.status() == "running"
    wait(lambda: trains(run))
    launching.stop(run)
    assert launching.is_stopping(run) or run.status() == "stopped"
    launching.stop(run)  # twice is not harder
    assert wait(lambda: run.status() != "running" and launching.at_work() is None) < within(2)
    assert run.last_event() == events.RunStopped(by="SIGTERM")
    launching.resume(run)
    assert run.status() == "running"
    wait(lambda: run.status() != "running")
    assert run.status() == "completed"
    assert "test top-1" in str(log_tail(run))
    with pytest.raises(UserError, match="completed"):
        launching.resume(run)


def test_of_many_starts_at_once_one_wins_and_leaves_one_folder(tmp_path: Path):
    launchers = [Launcher(tmp_path, CPU) for _ in range(8)]

    def attempt(launching: Launcher) -> RunDir | str:
        try:
            return launching.start(LONG, None)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, launchers))
    (run,) = [result for result in results if isinstance(result, RunDir)]
    assert sum("is busy with " in str(result) for result in results) == 7
    assert [folder.name for folder in tmp_path.iterdir()] == ["tiny-1"]
    Launcher(tmp_path, CPU).stop(run)  # any launcher can
    assert wait(lambda: run.status() != "running") < within(2)


def test_a_run_can_be_stopped_before_it_has_said_a_word(launching: Launcher):
    run = launching.start(LONG, None)
    launching.stop(run)
    assert wait(lambda: run.status() != "running") < within(2)
    assert run.status() == "stopped"


START_AND_DIE = """
import os, sys, time
from pathlib import Path
from resnet_cifar.training.launcher import Launcher
from tests.training.test_launcher import CPU, LONG

run = Launcher(Path(sys.argv[1]), CPU).start(LONG, None)
print(run.path, flush=True)
time.sleep(60)
"""


def test_a_run_outlives_who_started_it(tmp_path: Path, launching: Launcher):
    """Imports torch twice: about 6 s."""
    parent = start("-c", START_AND_DIE, tmp_path)
    assert parent.stdout is not None
    run = RunDir(Path(parent.stdout.readline().strip()))
    parent.kill()
    parent.communicate()
    assert run.status() == "running"
    wait(lambda: trains(run))
    with pytest.raises(UserError, match="busy with run"):
        launching.start(LONG, None)
    launching.stop(run)
    wait(lambda: run.status() == "stopped")


def test_who_only_holds_the_lock_is_never_signalled(launching: Launcher, tmp_path: Path):
    """A rename holds it, and so does a run in another container, whose process ids mean other processes here."""
    run = RunDir.create(tmp_path / "run", recipe())
    with run.locked():
        holder = run.holder()
        assert holder is not None and holder.pid is None
        launching.stop(run)  # or this test would end here
        assert run.stop_file.exists()
    with run.locked(pid=os.getpid()) as lock:
        assert run.holder() == Holder(os.getpid(), run.handle)
        os.pwrite(lock, f"{os.getpid()} elsewhere {run.handle}".encode(), 0)
        elsewhere = run.holder()
        assert elsewhere is not None and elsewhere.pid is None


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_can_not_begin_says_so(launching: Launcher, tmp_path: Path, monkeypatch, processes):
    """And if the first of two processes refuses it, the other one ends without a word."""
    monkeypatch.setattr(launcher, "count", lambda _: 2)
    run = RunDir.create(tmp_path / "torn", recipe())
    run.append(events.RunStarted(recipe="", device="cpu", precision="fp32", data_dir=None, processes=processes))
    run.last_file.write_bytes(b"nothing of ours")
    run.recipe_file.write_text("{}")
    launching.resume(run)
    wait(lambda: run.status() == "failed")
    last, printed = run.last_event(), (run.path / LOG).read_text()
    assert isinstance(last, events.RunFailed) and last.user_error and "recipe.json can't be used" in last.reason
    assert printed.count("error: ") == 1 and "gloo" not in printed


def test_a_run_that_is_killed_says_so(launching: Launcher):
    run = launching.start(LONG, None)
    wait(lambda: trains(run))
    (leader,) = kill(run)
    wait(lambda: run.status() == "failed")
    last = run.last_event()
    assert isinstance(last, events.RunFailed) and "memory" in last.reason and "SIGKILL" in last.reason
    assert not Path(f"/proc/{leader}").exists()


def kill(run: RunDir, rank: int | None = None) -> list[int]:
    """Kill a run's process, or one of several; their ids."""
    holder = run.holder()
    assert holder is not None and holder.pid is not None
    workers = [holder.pid] if rank is None else workers_of(holder.pid)
    os.kill(workers[rank or 0], signal.SIGKILL)
    return workers


def workers_of(leader: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{leader}/task/{leader}/children").read_text().split()]


def test_a_run_that_does_not_listen_is_killed_after_a_while(launching: Launcher, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launcher, "_GRACE", 0.5)
    run = launching.start(LONG, None)
    wait(lambda: trains(run))
    holder = run.holder()
    assert holder is not None and holder.pid is not None
    os.kill(holder.pid, signal.SIGSTOP)
    launching.stop(run)
    assert wait(lambda: run.status() != "running") < within(5)
    assert run.status() == "interrupted"


def test_several_processes_train_a_run_and_end_together(launching: Launcher, monkeypatch: pytest.MonkeyPatch):
    """Starts torchrun three times, two processes each: about 25 s."""
    monkeypatch.setattr(launcher, "count", lambda _: 2)
    run = launching.start(LONG, None, processes=2)
    wait(lambda: trains(run))
    with pytest.raises(UserError, match="busy with run"):
        launching.start(LONG, None)
    launching.stop(run)
    assert wait(lambda: run.status() != "running" and launching.at_work() is None) < within(10)
    assert run.last_event() == events.RunStopped(by="SIGTERM")
    launching.resume(run)
    wait(lambda: any(isinstance(event, events.RunResumed) for event, _ in run.history()))  # the save is cut to first
    wait(lambda: trains(run))
    begun = [event for event, _ in run.history() if isinstance(event, events.RunStarted | events.RunResumed)]
    assert [event.processes for event in begun] == [2, 2]
    kill(run, rank=1)
    wait(lambda: run.status() == "failed")
    last = run.last_event()
    assert isinstance(last, events.RunFailed) and "another process of the run ended" in last.reason
    assert "memory" in last.reason
    launching.resume(run)
    wait(lambda: trains(run))
    monkeypatch.setattr(launcher, "_GRACE", 0.5)
    holder = run.holder()
    assert holder is not None and holder.pid is not None
    workers = workers_of(holder.pid)
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    launching.stop(run)
    assert wait(lambda: run.status() != "running") < within(5)
    wait(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 5)  # nobody trains without its locks
    with pytest.raises(UserError, match="batches of 16 for 9 processes"):
        launching.start(LONG, None, processes=9)


def test_a_run_knows_no_secrets_and_stands_back(launching: Launcher, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("WANDB_API_KEY", "hf_secret")
    monkeypatch.setenv("CIFAR100_DIR", "/somewhere")
    run = launching.start(LONG, None)
    holder = run.holder()
    assert holder is not None and holder.pid is not None
    wait(lambda: b"--train-only" in Path(f"/proc/{holder.pid}/cmdline").read_bytes())
    environment = Path(f"/proc/{holder.pid}/environ").read_bytes()
    assert b"CIFAR100_DIR=/somewhere" in environment and b"hf_secret" not in environment
    assert os.getpriority(os.PRIO_PROCESS, holder.pid) >= 10
    assert os.getsid(holder.pid) == holder.pid
    if (group := Path(f"/proc/{holder.pid}/autogroup")).exists():
        wait(lambda: group.read_text().split()[-1] == "10")


def test_bad_requests_leave_no_folder(launching: Launcher, tmp_path: Path):
    with pytest.raises(UserError, match="nowhere"):
        launching.start(recipe(data="cifar100", train_images=100), tmp_path / "nowhere")
    with pytest.raises(UserError, match="nothing.pth"):
        launching.start(recipe(init=str(tmp_path / "nothing.pth")), None)
    assert not list(tmp_path.iterdir())
