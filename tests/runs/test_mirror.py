"""Runs that are kept elsewhere: whenever a copy ends, and wherever it breaks off, what is there can be resumed."""

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from resnet_cifar.errors import UserError
from resnet_cifar.model.checkpoint import MODEL
from resnet_cifar.runs import mirror
from resnet_cifar.runs.mirror import Mirror
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system import files
from resnet_cifar.training.saves import Saves
from resnet_cifar.training.session import train
from tests.builders import CPU, checkpoint, recipe, told
from tests.training.same import assert_same_run, finish


def everything(folder: Path) -> dict[str, bytes]:
    """All that counts in a folder: its files, but for drafts and locks."""
    found = {file.relative_to(folder): file for file in folder.rglob("*") if file.is_file()}
    return {str(name): file.read_bytes() for name, file in found.items() if not file.name.startswith(".")}


def at_work(run: RunDir, draw: random.Random) -> Iterator[None]:
    """Train a run, which is killed and resumed now and then. It saves after each event, or hardly ever."""
    while run.status() != "completed":
        events = train(run, device=CPU, data_dir=None, save_every=draw.choice((0.0, 0.0, 60.0)))
        for _ in events:
            yield
            if draw.random() < 0.03:
                break
        events.close()


class Moments:
    """Lets a run go on within each copy of it, and keeps what is there after each step, as if it broke off there."""

    def __init__(self, work: Iterator[None], kept: Path, snapshots: Path, draw: random.Random) -> None:
        self.work, self.kept, self.snapshots, self.draw = work, kept, snapshots, draw
        self.taken: list[Path] = []

    def step(self, function: Callable) -> Callable:
        def stepped(*arguments):
            for _ in range(self.draw.choice((0, 0, 1, 4))):
                next(self.work, None)
            done = function(*arguments)
            self.take()
            return done

        return stepped

    def take(self) -> None:
        self.taken.append(Path(shutil.copytree(self.kept, self.snapshots / str(len(self.taken)))))


@pytest.mark.slow
def test_what_is_kept_of_a_run_at_any_moment_is_resumed_to_the_same_end(
    uninterrupted: RunDir, new_run: Callable[..., RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Trains a tiny run several times, and looks at what is kept after each step of each copy: about 5 s."""
    draw, kept = random.Random(0), tmp_path / "kept"
    kept.mkdir()
    run = new_run(uninterrupted.recipe(), "here/run")
    work = at_work(run, draw)
    moments = Moments(work, kept, tmp_path / "moments", draw)
    copying = Mirror(tmp_path / "here", kept)
    copying.copy()
    with monkeypatch.context() as patch:
        patch.setattr(files, "copy_beside", moments.step(files.copy_beside))
        patch.setattr(mirror, "os", SimpleNamespace(replace=moments.step(os.replace)))
        while run.status() != "completed":
            next(work, None)
            copying.copy()
    for _ in work:
        pass
    copying.copy()
    moments.take()
    assert_same_run(run, uninterrupted)

    found = [there for there in map(restored, moments.taken) if there.path.exists()]
    for there in found:
        if there.status() == "completed":
            assert there.eval_file.read_bytes() == run.eval_file.read_bytes()
            assert (there.path / MODEL).read_bytes() == (run.path / MODEL).read_bytes()
        else:
            Saves(there, there.recipe()).read()
    assert len(found) > len(moments.taken) / 2
    for there in (*draw.sample(found, 2), found[-1]):
        with suppress(UserError):  # it is completed
            finish(there)
        assert_same_run(there, uninterrupted)


def restored(kept: Path) -> RunDir:
    """The run, on another machine."""
    Mirror(kept.with_name(f"{kept.name}-there"), kept).restore()
    return RunDir(kept.with_name(f"{kept.name}-there") / "run")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Two runs, with files of this machine."""
    for name in ("one", "two"):
        run = told(tmp_path / "here" / name, recipe()).run
        checkpoint(run.path)
        (run.path / "inspection").mkdir()
        (run.path / "inspection" / "test.safetensors").write_bytes(b"logits")
        (run.path / "job.json").write_text("{}")
    return tmp_path / "here"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def test_a_restart_finds_the_runs_in_their_order_and_nothing_of_the_old_machine(here: Path, kept: Path, tmp_path: Path):
    os.utime(here / "one" / "recipe.json", (2e9, 2e9))  # the newer one
    before = everything(here)
    for name in (".lock", ".tmp-1-2-model.safetensors", "queued.json", "stop"):
        (here / "two" / name).write_text("of this machine")
    (here / "shipped").mkdir()
    (here / "shipped" / "recipe.json").write_text("{}")
    Mirror(here, kept, without="shipped").copy()
    (kept / "lost+found").mkdir()
    there = tmp_path / "there"
    Mirror(there, kept).restore()
    assert everything(there) == before == everything(kept)
    assert not list(there.rglob(".*"))
    assert Records(there).names() == ["one", "two"]


def test_what_is_deleted_or_renamed_here_is_so_there_and_nothing_else(here: Path, kept: Path):
    shutil.copytree(here / "one", kept / "of-another-time")
    copying = Mirror(here, kept)
    copying.copy()
    RunDir(here / "one").rename("three")
    RunDir(here / "two").delete()
    (here / "three" / "inspection" / "test.safetensors").unlink()
    copying.copy()
    assert sorted(folder.name for folder in kept.iterdir()) == ["of-another-time", "three"]
    assert everything(kept / "three") == everything(here / "three")
    shutil.rmtree(here)  # is this folder not there, or is it empty?
    with pytest.raises(UserError, match="cannot keep the runs"):
        copying.copy()
    assert (kept / "three" / "recipe.json").exists()


def test_a_new_run_of_an_old_name_takes_its_place(here: Path, kept: Path):
    copying = Mirror(here, kept)
    (here / "one" / "last.safetensors").write_bytes(b"a save")
    copying.copy()
    RunDir(here / "one").delete()
    told(here / "one", recipe(seed=7))
    copying.copy()
    assert everything(kept) == everything(here)


def test_only_what_has_changed_is_copied(here: Path, kept: Path, monkeypatch: pytest.MonkeyPatch):
    copying, copied = Mirror(here, kept), []
    copying.copy()
    copy = files.copy_beside
    monkeypatch.setattr(files, "copy_beside", lambda file, target: copied.append(file.name) or copy(file, target))
    copying.copy()
    assert not copied
    (here / "one" / "metrics.jsonl").write_bytes(b"another line\n")
    copying.copy()
    assert copied == ["metrics.jsonl"] and everything(kept) == everything(here)
    after_restart = Mirror(here.with_name("there"), kept)
    after_restart.restore()
    copied.clear()
    after_restart.copy()
    assert not copied


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_copy_that_fails_leaves_the_earlier_one_whole_and_the_other_runs_their_own(
    here: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    copying = Mirror(here, kept)
    copying.copy()
    before = everything(kept / "one")
    for file in here.rglob("*.*"):
        file.write_bytes(file.read_bytes() + b"more")
    with monkeypatch.context() as patch:
        patch.setattr(files, "copy_beside", full_disk(number))
        with pytest.raises(UserError, match="cannot keep the runs in .*: No space left on device"):
            copying.copy()
    assert everything(kept / "one") == before and everything(kept / "two") == everything(here / "two")
    copying.copy()
    assert everything(kept) == everything(here)
    assert not list(kept.rglob(".*"))


def full_disk(number: int) -> Callable[[Path, Path], Path]:
    """Copy files, but fail at the n-th of them, when half of it is written."""
    copy, calls = files.copy_beside, iter(range(1, 1000))

    def copying(file: Path, target: Path) -> Path:
        draft = copy(file, target)
        if next(calls) == number:
            os.truncate(draft, draft.stat().st_size // 2)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(draft))
        return draft

    return copying


def test_a_full_bucket_takes_a_deletion_and_keeps_what_was_only_renamed(
    here: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
):
    copying = Mirror(here, kept)
    copying.copy()
    RunDir(here / "one").rename("three")
    RunDir(here / "two").delete()
    with monkeypatch.context() as patch:
        patch.setattr(files, "copy_beside", full_disk(1))
        with pytest.raises(UserError, match="No space left"):
            copying.copy()
    assert everything(kept / "one") == everything(here / "three") and not (kept / "two").exists()
    copying.copy()
    assert everything(kept) == everything(here)


@pytest.fixture
def there(here: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """Another machine, which could restore `two` and not `one`."""
    Mirror(here, kept).copy()
    there = Mirror(tmp_path / "there", kept)
    with monkeypatch.context() as patch:
        patch.setattr(files, "copy_beside", full_disk(3))
        with pytest.raises(UserError, match="cannot restore the runs from"):
            there.restore()
    return there


def test_a_run_that_cannot_be_restored_is_not_taken_for_a_deleted_one(there: Mirror, kept: Path, tmp_path: Path):
    before = everything(kept)
    assert [folder.name for folder in (tmp_path / "there").iterdir()] == ["two"]
    there.copy()
    assert everything(kept) == before


def test_a_new_run_does_not_take_the_place_of_one_that_could_not_be_restored(
    there: Mirror, here: Path, kept: Path, tmp_path: Path
):
    before = everything(kept)
    new = told(tmp_path / "there" / "one", recipe(seed=7)).run
    with pytest.raises(UserError, match="an earlier run of this name is kept there"):
        there.copy()
    assert everything(kept) == before
    new.rename("new")
    there.copy()
    assert everything(kept).items() > before.items() and (kept / "new").is_dir()
    assert everything(tmp_path / "there" / "one") == everything(here / "one")
