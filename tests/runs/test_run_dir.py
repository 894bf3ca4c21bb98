import errno
import json
import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.errors import UserError
from resnet_cifar.paths import CHECKPOINTS
from resnet_cifar.runs.run_dir import RunDir, locate
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


def test_opening_an_unknown_run_lists_the_existing_ones(run: RunDir):
    with pytest.raises(UserError, match="no run 'walk'.*it contains: run"):
        RunDir.open(run.path.parent / "walk")


def test_a_folder_that_cannot_be_created(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot create the folder"):
        RunDir.create(tmp_path / "file" / "run", recipe())


def test_a_full_disk_leaves_no_incomplete_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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


def test_default_names_are_valid_even_for_the_longest_recipe_name(tmp_path: Path):
    named = recipe(name="x" * 64)
    names = [RunDir.create_numbered(named, tmp_path).name for _ in range(11)]
    assert len(set(names)) == 11 and names[-1].endswith("-11") and max(map(len, names)) <= 64


def test_default_names_do_not_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resnet_cifar.runs.run_dir.CHECKPOINTS", tmp_path)
    assert [RunDir.create_numbered(recipe()).name for _ in range(3)] == ["tiny-1", "tiny-2", "tiny-3"]


def test_an_unreadable_recipe_is_named(run: RunDir):
    run.recipe_file.write_bytes(b"\xff\xfe{")
    with pytest.raises(UserError, match="recipe.json can't be used"):
        run.recipe()


def test_names_are_in_checkpoints_and_paths_are_anywhere(tmp_path: Path):
    assert locate("quick-1") == CHECKPOINTS / "quick-1"
    assert locate(f"{tmp_path}/x") == tmp_path / "x"
    for name in ("", " ", ".", ".."):
        with pytest.raises(UserError):
            locate(name)


def test_a_torn_last_line_is_skipped(run: RunDir):
    stopped = events.RunStopped(by="SIGINT")
    run.append(stopped)
    with open(run.metrics_file, "a") as metrics:
        metrics.write('{"event": "RunCompl')
    assert [event for event, _ in run.history()] == [stopped]
    assert run.last_event() == stopped
    assert run.status() == "stopped"


def test_events_after_a_cut_are_removed(run: RunDir):
    run.append(events.Progress(phase="train", done=1, total=2))
    size = run.flush()
    run.append(events.Progress(phase="train", done=2, total=2))
    run.cut(size + 10_000)  # beyond the end: nothing to remove, and the file must not grow
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


@pytest.mark.process
def test_the_lock_dies_with_its_holder(run: RunDir):
    """Starts a Python process."""
    child = start("-c", HOLD_THE_LOCK, run.path)
    assert child.stdout is not None and child.stdout.readline() == "locked\n"
    assert run.status() == "running"
    with pytest.raises(UserError, match="another process"), run.locked():
        pass
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert run.status() == "stopped"  # without events
    run.append(events.Progress(phase="features", done=1, total=2))
    assert run.status() == "interrupted"
    with run.locked():
        pass


def test_reading_the_status_never_blocks_the_lock(run: RunDir):
    done = threading.Event()

    def read_status() -> None:
        while not done.is_set():
            run.status()

    with run.locked():
        pass
    thread = threading.Thread(target=read_status)
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


def test_taking_the_lock_removes_leftover_files(run: RunDir):
    (run.path / ".tmp-model.safetensors").touch()
    (run.path / ".tmpJL4BZU").touch()
    with run.locked():
        assert not list(run.path.glob(".tmp*"))
    assert run.recipe_file.exists()


def test_a_run_is_deleted_where_there_is_no_room_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = RunDir.create(tmp_path / "run", recipe())
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.mkdtemp", lambda **_: Path("/dev/full").write_text("no room"))
        run.delete()
    assert not list(tmp_path.iterdir())


def test_deleting_a_run_finishes_what_a_killed_process_began_and_not_what_others_do(tmp_path: Path):
    run = RunDir.create(tmp_path / "run", recipe())
    abandoned, of_another = (tmp_path / name for name in (".deleted-long-ago", ".deleted-now"))
    for folder in (abandoned, of_another):
        (folder / "a-run").mkdir(parents=True)
    os.utime(abandoned, (1e9, 1e9))
    run.delete()
    assert list(tmp_path.iterdir()) == [of_another]
