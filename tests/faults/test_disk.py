"""A disk that refuses: a sentence, earlier files whole, and once it is mended the run ends as without."""

import resource
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torchvision.datasets import CIFAR100

from resnet_cifar.cli.main import main
from resnet_cifar.data import cifar100, own_store
from resnet_cifar.data.own_images import read
from resnet_cifar.errors import UserError
from resnet_cifar.events import RunCompleted, RunFailed
from resnet_cifar.model.checkpoint import MODEL, load_checkpoint
from resnet_cifar.model.tensors import read_tensors
from resnet_cifar.runs.notes import Notes, write_notes
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe, result
from tests.cli.conftest import SMALL
from tests.data.official import pack, send, served
from tests.data.test_own_images import draw
from tests.faults.conftest import LONG, Table
from tests.faults.disks import Disk, disk
from tests.faults.operations import Act, FromNth, Nth, over_quota, unwatch, watch
from tests.faults.test_kills import operations_of
from tests.training.same import assert_same_run, finish

pytestmark = pytest.mark.process  # `mount` is one


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    with disk(tmp_path_factory.mktemp("disk") / "small") as made:
        yield made


def away(disk: Disk) -> None:
    """Rename the folder of the runs, as a person may."""
    disk.folder.rename(disk.root / "elsewhere")


def mend(disk: Disk) -> None:
    if disk.folder.exists():
        disk.mend()
    if not disk.folder.exists():
        (disk.root / "elsewhere").rename(disk.folder)


OF_DISK: dict[str, Callable[[Disk], None]] = {
    "full": Disk.fill,
    "out of places for files": Disk.use_up_files,
    "read-only": Disk.close,
    "gone: its folder was renamed": away,
}
QUOTA = "over the user's quota"
FAULTS = (*OF_DISK, QUOTA)


def acting(fault: str, disk: Disk, name: str, number: int) -> Act:
    """A fault that begins at the n-th operation of a name."""
    if fault == QUOTA:
        return FromNth(name, number, over_quota)
    return Nth(name, number, lambda *_: OF_DISK[fault](disk))


SHORT = {
    "full": ("write .tmp-last.safetensors", 2),
    "out of places for files": ("write .tmp-model.safetensors", 1),
    QUOTA: ("write .tmp-last.safetensors", 2),
    "read-only": ("write metrics.jsonl", 9),
    "gone: its folder was renamed": ("rename .tmp-last.safetensors", 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_refuses(uninterrupted: RunDir, new_run, small: Disk, monkeypatch, table: Table, fault: str):
    if LONG:
        seen = operations_of(new_run(uninterrupted.recipe(), "counted"), monkeypatch)
        moments = [(name, number) for name, count in seen.items() for number in sorted({1, count})]
    else:
        moments = [SHORT[fault]]
    outcomes: Counter[str] = Counter()
    for name, number in moments:
        run = RunDir.create(small.folder / f"run-{FAULTS.index(fault)}", uninterrupted.recipe())
        try:
            outcomes[refused(run, small, acting(fault, small, name, number))] += 1
        finally:
            mend(small)
        if run.status() == "completed":
            with pytest.raises(UserError, match="is completed"):
                finish(run)
        else:
            finish(run)
        assert_same_run(run, uninterrupted)
        shutil.rmtree(run.path)
    if LONG:
        must = "a sentence; what was saved is whole; once mended, it ends as without"
        figures = f"{len(moments)} moments: {outcomes['refused']} refused, {outcomes['completed']} did not notice"
        table.tell("Disk", fault, must, figures)


def refused(run: RunDir, disk: Disk, act: Act) -> str:
    """Train until the disk refuses; what came of it."""
    watch(run.path, act)
    try:
        *_, last = train(run, device=CPU, data_dir=None)
    except UserError as error:  # before its first event
        last = RunFailed(reason=str(error), user_error=True)
    finally:
        unwatch()
    if isinstance(last, RunCompleted):
        return "completed"
    assert isinstance(last, RunFailed) and last.user_error and str(run.path) in last.reason, last
    mend(disk)
    for file in run.path.glob("[!.]*.safetensors"):
        read_tensors(file)
    if (run.path / MODEL).exists():
        load_checkpoint(run.path, CPU)
    return "refused"


def test_a_folder_that_is_deleted_while_it_trains_is_not_made_again(new_run, table: Table):
    moments = (("write metrics.jsonl", 9), ("write .tmp-config.json", 1), ("rename .tmp-last.safetensors", 2))
    for name, number in moments:
        run = new_run(recipe())
        watch(run.path, Nth(name, number, lambda *_: (shutil.rmtree(run.path), unwatch())))  # noqa: B023
        *_, last = train(run, device=CPU, data_dir=None)
        assert isinstance(last, RunFailed) and last.user_error and str(run.path) in last.reason
        assert not run.path.exists()
    if LONG:
        table.tell(
            "Disk", "gone: the run's folder was deleted", "a sentence; nothing is made in its place", "3 moments"
        )


def own_images(folder: Path) -> None:
    for number in range(6):
        draw(folder / "pets" / ("cat" if number % 2 else "dog") / f"{number}.png", number)


def download(folder: Path) -> None:
    archive, facts = pack()
    with pytest.MonkeyPatch.context() as patch, served(send(archive)) as url:
        for name, value in (facts | {"url": url}).items():
            patch.setattr(CIFAR100, name, value)
        result(cifar100.download(folder / "data", "official"))


def nothing(_: Path) -> None:
    pass


WRITERS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "a new run": (nothing, lambda folder: RunDir.create(folder / "new", recipe())),
    "notes": (
        lambda folder: RunDir.create(folder / "run", recipe()),
        lambda folder: write_notes(folder / "run", Notes()),
    ),
    "own images": (own_images, lambda folder: result(read(folder / "pets", 64))),
    "a download": (nothing, download),
}
"""What is there before the disk is full, and what is written then."""


@pytest.mark.parametrize("fault", ["full", "read-only"])
@pytest.mark.parametrize("what", WRITERS)
def test_other_writers_say_so_and_leave_nothing_behind(small: Disk, table: Table, monkeypatch, what: str, fault: str):
    monkeypatch.setattr(own_store, "UPLOADED", small.folder / "own")
    prepare, write = WRITERS[what]
    prepare(small.folder)
    before = {file: file.stat().st_size for file in small.folder.rglob("*")}
    OF_DISK[fault](small)
    try:
        with pytest.raises(UserError, match="cannot|space|Read-only") as refusal:
            write(small.folder)
        assert str(small.folder) in str(refusal.value)
        there = {file: file.stat().st_size for file in small.folder.rglob("*") if file.is_file()}
        assert {file for file, size in there.items() if size} <= before.keys()
    finally:
        mend(small)
    try:
        write(small.folder)
    finally:
        shutil.rmtree(small.folder)
        small.folder.mkdir()
    if LONG:
        table.tell("Disk", f"{fault}, for {what}", "a sentence; nothing is left; it works once mended", "1 of 1")


def test_no_room_for_the_weights_in_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A limit on the size of files is a disk that is full for anybody, not only for root. The weights have 350 kB."""
    run, (before, most) = RunDir(tmp_path / "run"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
    try:
        code = main(["--train-only", *SMALL, "--run", str(run.path)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    told = capsys.readouterr().err
    assert code == 2 and "error: cannot write" in told and "Traceback" not in told
    assert run.status() == "failed" and not list(run.path.glob(".tmp*"))
    assert isinstance(finish(run)[-1], RunCompleted)
