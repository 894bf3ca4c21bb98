import errno
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.errors import UserError
from resnet_cifar.paths import CHECKPOINTS
from resnet_cifar.runs.run_dir import RunDir, locate
from resnet_cifar.system import files
from tests.builders import recipe, start

HOLD_THE_LOCK = """
import sys, time
from pathlib import Path
from resnet_cifar.runs.run_dir import RunDir
with RunDir(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(new_run: Callable[..., RunDir]) -> RunDir:
    return new_run(recipe())


def test_a_run_keeps_its_recipe(run: RunDir):
    assert RunDir.open(run.path).recipe() == recipe()


def test_an_existing_run_is_never_overwritten(run: RunDir):
    with pytest.raises(UserError, match="never overwritten"):
        RunDir.create(run.path, recipe(seed=1))
    assert run.recipe() == recipe()


def test_an_unknown_run_is_told_which_there_are(run: RunDir):
    with pytest.raises(UserError, match="no run 'walk'.*it contains: run"):
        RunDir.open(run.path.parent / "walk")


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot create the folder"):
        RunDir.create(tmp_path / "file" / "run", recipe())


def test_a_disk_that_takes_nothing_leaves_no_half_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="cannot write .*recipe.json: No space left on device"):
        RunDir.create(tmp_path / "run", recipe())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["a b", "<b>x", "-x", ".hidden", "=1+1", "x" * 65, "a\nb", "é"])
def test_a_run_is_created_only_with_a_name_that_rename_accepts(run: RunDir, name: str):
    with pytest.raises(UserError, match="name for a run") as renaming:
        run.rename(name)
    with pytest.raises(UserError, match="name for a run") as creating:
        RunDir.create(run.path.parent / "deep" / name, recipe())
    assert str(creating.value) == str(renaming.value) and repr(name) in str(creating.value)
    assert [folder.name for folder in run.path.parent.iterdir()] == ["run"]


def test_a_recipe_with_the_longest_name_can_be_run_by_default(tmp_path: Path):
    named = recipe(name="x" * 64)
    names = [RunDir.create_numbered(named, tmp_path).name for _ in range(11)]
    assert len(set(names)) == 11 and names[-1].endswith("-11") and max(map(len, names)) <= 64


def test_two_default_names_do_not_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resnet_cifar.runs.run_dir.CHECKPOINTS", tmp_path)
    assert [RunDir.create_numbered(recipe()).name for _ in range(3)] == ["tiny-1", "tiny-2", "tiny-3"]


def test_a_recipe_that_cannot_be_read_is_named(run: RunDir):
    run.recipe_file.write_bytes(b"\xff\xfe{")
    with pytest.raises(UserError, match="recipe.json can't be used"):
        run.recipe()


def test_names_lie_under_checkpoints_and_paths_do_not(tmp_path: Path):
    assert locate("quick-1") == CHECKPOINTS / "quick-1"
    assert locate(f"{tmp_path}/x") == tmp_path / "x"
    for name in ("", " ", ".", ".."):
        with pytest.raises(UserError):
            locate(name)


def test_a_torn_last_line_is_passed_over(run: RunDir):
    stopped = events.RunStopped(by="SIGINT")
    run.append(stopped)
    with open(run.metrics_file, "a") as metrics:
        metrics.write('{"event": "RunCompl')
    assert [event for event, _ in run.history()] == [stopped]
    assert run.last_event() == stopped
    assert run.status() == "stopped"


def test_events_after_a_cut_are_forgotten(run: RunDir):
    run.append(events.Progress(phase="train", done=1, total=2))
    size = run.flush()
    run.append(events.Progress(phase="train", done=2, total=2))
    run.cut(size + 10_000)  # more than there is: nothing to cut, and nothing to add
    assert run.metrics_file.read_bytes().endswith(b"}\n")
    run.cut(size)
    assert [event.done for event, _ in run.history() if isinstance(event, events.Progress)] == [1]


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (events.RunStarted(recipe="tiny", device="cpu", precision="fp32", data_dir=None), "interrupted"),
        (events.RunStopped(by="SIGINT"), "stopped"),
        (events.RunFailed(reason="", user_error=False), "failed"),
        (events.RunCompleted(test=events.Metrics(loss=1, top1=1, top5=1), coarse_top1=1), "completed"),
    ],
)
def test_status_follows_from_the_last_event_and_the_lock(run: RunDir, event: events.Event, status: str):
    run.append(event)
    assert run.status() == status
    with run.locked():
        assert run.status() == "running"
    assert run.status() == status


def test_the_lock_dies_with_its_holder(run: RunDir):
    """Starts a Python process."""
    child = start("-c", HOLD_THE_LOCK, run.path)
    assert child.stdout is not None and child.stdout.readline() == "locked\n"
    assert run.status() == "running"
    with pytest.raises(UserError, match="another process"), run.locked():
        pass
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert run.status() == "stopped"  # it had not said a word yet
    run.append(events.Progress(phase="features", done=1, total=2))
    assert run.status() == "interrupted"
    with run.locked():
        pass


def test_looking_at_the_status_never_gets_in_the_way_of_the_lock(run: RunDir):
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            run.status()

    with run.locked():
        pass
    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(200):
            with run.locked():
                pass
    finally:
        done.set()
        thread.join()


def test_a_test_result_that_is_not_finite_is_null(run: RunDir):
    run.save_results({"images": 2, "loss": math.nan, "top1": 0.5, "per_class_top1": {"apple": 0.5, "bee": math.inf}})
    written = json.loads(run.eval_file.read_text(), parse_constant=lambda _: pytest.fail("not JSON"))
    assert written == {"images": 2, "loss": None, "top1": 0.5, "per_class_top1": {"apple": 0.5, "bee": None}}


def test_who_takes_the_lock_sweeps_leftovers(run: RunDir):
    (run.path / ".tmp-model.safetensors").touch()
    (run.path / ".tmpJL4BZU").touch()
    with run.locked():
        assert not list(run.path.glob(".tmp*"))
    assert run.recipe_file.exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path):
    target = tmp_path / "file"
    files.write_text(target, "old")
    with pytest.raises(KeyError), files.replacing(target) as draft:
        draft.write_text("half of the n")
        raise KeyError
    assert target.read_text() == "old"
    reader = target.open()
    files.write_text(target, "new")
    assert (reader.read(), target.read_text()) == ("old", "new")  # who reads on reads the old one, whole
    reader.close()
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert time.time() - target.stat().st_mtime < 60


def test_replacing_a_file_leaves_the_modes_of_other_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The umask belongs to the whole process: were it changed, another thread could create a file at that moment."""
    umask = os.umask
    before = umask(0o077)

    def observed(mask: int) -> int:
        previous = umask(mask)
        (tmp_path / f"other-{mask:o}").touch()
        return previous

    monkeypatch.setattr(os, "umask", observed)
    try:
        files.write_text(tmp_path / "file", "text")
    finally:
        umask(before)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_replaced_file_has_the_mode_of_an_ordinary_file(tmp_path: Path, umask: int):
    """Whatever mode its writer, such as safetensors, gave it."""
    before = os.umask(umask)
    try:
        with files.replacing(tmp_path / "file") as draft:
            draft.touch(0o600)
        (tmp_path / "ordinary").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_writer_that_writes_nothing_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match="cannot write"), files.replacing(tmp_path / "file"):
        pass
    assert not list(tmp_path.iterdir())
