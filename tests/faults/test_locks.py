"""Of starts in the same second one wins, and no dead process, reused id or wrong clock stands in the way."""

import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.cli.main import main
from resnet_cifar.errors import UserError
from resnet_cifar.runs import locks
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import identity
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.queue import Queue
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe, stage, wait, within
from tests.faults.conftest import LONG, Table
from tests.forked import fork, kill, train_run
from tests.training.same import assert_same_run, finish

pytestmark = pytest.mark.process

ENDLESS = recipe(stage(epochs=10_000))


def in_terminal(root: Path, arguments: list[str], at: float) -> None:
    """Give a command at a moment of the monotonic clock."""
    sys.stdout = sys.stderr = open(root.parent / "terminal", "w")  # noqa: SIM115
    time.sleep(max(0.0, at - time.monotonic()))
    sys.exit(main(["--train-only", "--device", "cpu", *arguments]))


def on_page(root: Path, resumed: bool, at: float) -> None:
    """Start a run, or resume one, as a page does."""
    launcher = Launcher(root, CPU)
    time.sleep(max(0.0, at - time.monotonic()))
    try:
        launcher.resume(RunDir(root / "run")) if resumed else launcher.start(ENDLESS, None, name="page")
    except UserError as error:
        (root.parent / "page").write_text(f"error: {error}")
        sys.exit(2)


def running(root: Path) -> list[RunDir]:
    return [run for folder in root.iterdir() if (run := RunDir(folder)).status() == "running"]


def end(root: Path) -> list[str]:
    """Kill whatever trains; its name."""
    ended = running(root)
    for run in ended:
        holder = run.holder()
        assert holder is not None and holder.pid is not None
        os.kill(holder.pid, signal.SIGKILL)
        wait(lambda run=run: run.status() != "running")
    return [run.name for run in ended]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder of runs, none of which outlives the test."""
    folder = tmp_path / "runs"
    folder.mkdir()
    yield folder
    end(folder)


def race(root: Path, arguments: list[str], resumed: bool, later: float) -> str:
    """Start in the terminal and, that many seconds later, on the page; who won. The winner is killed."""
    at = time.monotonic() + 0.3
    terminal, page = fork(in_terminal, root, arguments, at), fork(on_page, root, resumed, at + later)
    page.join()
    if page.exitcode == 0:
        terminal.join(within(30))
    assert {page.exitcode, terminal.exitcode} in ({0, 2}, {2, None})
    winner, loser = ("page", "terminal") if page.exitcode == 0 else ("terminal", "page")
    told = (root.parent / loser).read_text()
    assert "error: " in told and ("is busy with" in told or "is being trained by" in told), told
    left = [folder.name for folder in root.iterdir()]
    wait(lambda: running(root))
    assert end(root) == left == ["run" if resumed else winner]
    kill(terminal)
    return winner


def test_of_new_runs_on_the_page_and_in_the_terminal_one_starts(root: Path, tmp_path: Path, table: Table):
    """The page's run would be a Python process, which is killed before it has imported torch."""
    recipe_file, draw, wins = tmp_path / "endless.json", random.Random(2), Counter[str]()
    recipe_file.write_text(ENDLESS.to_json())
    arguments, latest = ["--recipe", str(recipe_file), "--run", f"{root}/terminal"], 0.1
    if LONG:  # how long the terminal takes to lock the device: it looks first how much memory the run needs
        began, alone = time.monotonic(), fork(in_terminal, root, arguments, 0.0)
        wait(lambda: running(root))
        latest = 1.5 * (time.monotonic() - began)
        kill(alone)
        RunDir(root / "terminal").delete()
    for _ in range(LONG // 10 or 2):
        winner = race(root, arguments, False, draw.uniform(-0.1, latest))
        wins[winner] += 1
        RunDir(root / winner).delete()
    tell(table, "two new runs", wins)


def test_a_run_that_is_resumed_on_the_page_and_in_the_terminal_is_resumed_once(root: Path, new_run, table: Table):
    draw, wins, run = random.Random(4), Counter[str](), RunDir.create(root / "run", recipe(stage(epochs=40)))
    stop_after_an_epoch(run)
    for _ in range(LONG // 20 or 1):
        wins[race(root, ["--resume", str(run.path)], True, draw.uniform(-0.1, 0.1))] += 1
    whole = new_run(run.recipe())
    finish(whole)
    finish(run)
    assert_same_run(run, whole)
    tell(table, "one run that both resume", wins)


def tell(table: Table, what: str, wins: Counter[str]) -> None:
    if LONG:
        fault = f"the page and the terminal start in the same second: {what}"
        must = "one wins, the other is told so and leaves no folder; a resumed run ends as without"
        figures = f"{wins.total()} times: {wins['page']} wins of the page, {wins['terminal']} of the terminal"
        table.tell("Locks", fault, must, figures)


def stop_after_an_epoch(run: RunDir) -> None:
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, events.EpochEnded):
            run.stop_file.touch()


def test_a_dead_process_and_its_reused_id_stand_in_nobodys_way(tmp_path: Path, table: Table):
    """The dead holder's id, in the lock that died with it, now means a process that has nothing to do with runs."""
    run, bystander = RunDir.create(tmp_path / "run", ENDLESS), fork(time.sleep, 60)
    with run.locked(bystander.pid) as lock:
        claim = os.pread(lock, 100, 0)
    trainer = fork(train_run, run.path)
    wait(lambda: isinstance(run.last_event(), events.StepLogged))
    kill(trainer)
    (run.path / ".lock").write_bytes(claim)
    assert run.status() == "interrupted"
    launcher = Launcher(tmp_path, CPU)
    launcher.stop(run)
    assert bystander.is_alive() and not launcher.is_stopping(run) and launcher.at_work() is None
    with locks.locked(locks.device_file(identity(CPU)), "another"):
        pass
    trainer = fork(train_run, run.path)
    wait(lambda: (held := run.holder()) is not None and held.pid == trainer.pid)
    if LONG:
        must = "the run can be resumed at once; the other process is not signalled"
        table.tell("Locks", "a killed trainer's process id means another process", must, "1 of 1")


@pytest.mark.parametrize("change", ["deleted", "renamed", "deleted and made anew"])
def test_who_waits_for_the_lock_of_a_run_that_goes_does_not_get_it(
    tmp_path: Path, table: Table, change: str, monkeypatch: pytest.MonkeyPatch
):
    """Two apps on one folder: one deletes or renames a run at the moment at which the other starts to train it."""
    run, refusals = RunDir.create(tmp_path / "run", recipe()), []

    def train_it() -> None:
        try:
            with run.locked():
                refusals.append("" if run.holder() else "it holds a lock that nobody sees")
        except UserError as error:
            refusals.append(str(error))

    monkeypatch.setattr(locks, "_TIMEOUT", 30.0)
    waiting = threading.Thread(target=train_it)
    with run.locked():
        waiting.start()
        time.sleep(0.1)
        if change == "renamed":
            run.path.rename(tmp_path / "other")
        else:
            shutil.rmtree(run.path)
        if change == "deleted and made anew":
            RunDir.create(run.path, recipe())
    waiting.join()
    anew = change == "deleted and made anew"
    assert refusals == [""] if anew else "cannot write" in refusals[0], refusals
    assert anew or [folder.name for folder in tmp_path.iterdir()] == (["other"] if change == "renamed" else [])
    if LONG:
        must = "no lock on what is gone, and nothing is made in its place"
        table.tell("Locks", f"two apps: a run is {change} while the other waits for its lock", must, "1 of 1")


def test_a_run_is_deleted_while_others_want_its_lock(tmp_path: Path):
    """Deleting file by file would free the name of the lock before the folder is gone."""
    for number in range(30):
        run, over = RunDir.create(tmp_path / f"run-{number}", recipe()), threading.Event()

        def want(run: RunDir = run, over: threading.Event = over) -> None:
            while not over.is_set():
                with suppress(UserError), run.locked():
                    pass
                time.sleep(0.001)

        others = [threading.Thread(target=want) for _ in range(2)]
        for one in others:
            one.start()
        try:
            run.delete()
        finally:
            over.set()
            for one in others:
                one.join()
        assert list(tmp_path.iterdir()) == []


def test_a_run_is_deleted_while_others_open_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """They have found the folder before it is moved away, and create the file after the folder was emptied."""
    run, rmdir, late = RunDir.create(tmp_path / "run", recipe()), os.rmdir, [1, 2]

    def open_first(name: str, *, dir_fd: int | None = None) -> None:
        if late and name == "run" and dir_fd is not None:
            late.pop()
            os.close(os.open("run/run.lock", os.O_CREAT, dir_fd=dir_fd))
        rmdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", open_first)
    run.delete()
    assert not late and list(tmp_path.iterdir()) == []


def test_the_clock_is_set_back_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table):
    """While a run trains, and between two runs that are queued."""
    clock = [1_700_000_000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    run = RunDir.create(tmp_path / "run", recipe(stage(epochs=4)))
    for event in train(run, device=CPU, data_dir=None):
        clock[0] += 1
        if isinstance(event, events.EpochEnded):
            clock[0] -= 3600
    record = Record(run).read()
    seconds = [*record.events.step_seconds, *record.events.epoch_seconds]
    assert sorted(record.events.step_seconds) == record.events.step_seconds and max(seconds) < 100
    assert 20 < record.events.seconds < 100
    waiting = Queue(Launcher(tmp_path, CPU))
    monkeypatch.setattr(waiting, "attend", lambda: None)
    names = ["c", "a", "b"]
    for name in names:
        waiting.add(recipe(), None, name=name)
        clock[0] -= 3600
    assert [one.name for one in waiting.waiting()] == names
    if LONG:
        must = "durations never shrink, and lose no more than the moment of the change; the queue keeps its order"
        table.tell("Locks", "the clock is set back an hour, several times", must, "4 changes in a run, 3 in the queue")
