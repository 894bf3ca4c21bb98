"""Killed at any moment and resumed, a run ends as if nothing had happened, and leaves nothing else behind."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torchvision.datasets import CIFAR100

from resnet_cifar import events
from resnet_cifar.data import cifar100
from resnet_cifar.data.own_images import read
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.config import Change
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training import launcher, session
from resnet_cifar.training.launcher import Launcher
from tests.builders import CPU, recipe, result, stage, start, wait
from tests.data.official import ARCHIVE, FOLDER, believe, pack, send, served
from tests.data.test_own_images import draw as draw_image
from tests.faults.conftest import LONG, Table
from tests.faults.operations import Nth, die, named, unwatch, watch
from tests.forked import fork, kill, train_run
from tests.training.same import assert_same_run, finish
from tests.ui.conftest import free_port

pytestmark = pytest.mark.process

MUST = "the same weights, results and events (but for times) as without; no other file"


def without_progress() -> None:
    """Make the operations of a run the same each time, however slow the machine is."""
    session._PROGRESS_EVERY = 1e9


def train_until(folder: Path, name: str, number: int) -> None:
    """Train, and be killed at the n-th operation of that name."""
    without_progress()
    watch(folder, Nth(name, number, die))
    train_run(folder)


def operations_of(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Train a run to its end; how often it did what to which file."""
    monkeypatch.setattr(session, "_PROGRESS_EVERY", 1e9)
    seen: Counter[str] = Counter()
    watch(run.path, lambda kind, file: seen.update([named(kind, file)]))
    finish(run)
    unwatch()
    return seen


CHAIN = (
    ("rename .tmp-last.safetensors", 1),
    ("write metrics.jsonl", 9),
    ("rename .tmp-model.safetensors", 1),
    ("rename .tmp-config.json", 2),
    ("remove last.safetensors", 1),
)
"""Kills of the short form, one after the other in a single run; the last one after it has recorded its end."""


@pytest.mark.skipif(bool(LONG), reason="the long form kills at every operation")
def test_killed_in_writes_a_run_ends_the_same(uninterrupted: RunDir, new_run: Callable[..., RunDir]):
    run = new_run(uninterrupted.recipe())
    for name, number in CHAIN:
        child = fork(train_until, run.path, name, number)
        child.join()
        assert child.exitcode == -9, name
    with pytest.raises(UserError, match="is completed"):
        finish(run)
    assert_same_run(run, uninterrupted)


@pytest.mark.skipif(not LONG, reason="part of `make faults`")
def test_killed_at_every_kind_of_operation(uninterrupted: RunDir, new_run, monkeypatch, table: Table):
    seen = operations_of(new_run(uninterrupted.recipe(), "counted"), monkeypatch)
    kills = 0
    for name, count in seen.items():
        for number in sorted({1, (count + 1) // 2, count}):
            run = new_run(uninterrupted.recipe(), "killed")
            child = fork(train_until, run.path, name, number)
            child.join()
            assert child.exitcode == -9, (name, number)
            with suppress(UserError):  # it is completed, and only its save was left
                finish(run)
            assert_same_run(run, uninterrupted)
            shutil.rmtree(run.path)
            kills += 1
    table.tell("Kills", f"the trainer, at each of {len(seen)} operations on its files", MUST, f"{kills} kills")


GROWING = recipe(
    stage(epochs=4, ema_decay=0.9, progression=(Change(after=0.5, image_size=48),), no_mix_fraction=0.25),
    train_images=200,
)


def killed_at_random(run: RunDir, whole: RunDir, draw: random.Random, most: int) -> int:
    """Kill the trainer up to `most` times at random moments of the run, and let it end; how many kills that were."""
    kills, size = 0, whole.metrics_file.stat().st_size
    while run.status() != "completed" and kills < most:
        child = fork(train_run, run.path, draw.choice((0.0, 0.3, 60.0)))
        moment = draw.uniform(0, size)
        wait(lambda: not child.is_alive() or metrics_of(run) > moment)  # noqa: B023
        time.sleep(draw.uniform(0, 0.2))
        kill(child)
        kills += child.exitcode == -9
    if run.status() != "completed":
        finish(run)
    return kills


@pytest.mark.skipif(bool(LONG), reason="part of the long form")
def test_killed_at_random_moments_a_run_ends_the_same(uninterrupted: RunDir, new_run: Callable[..., RunDir]):
    kills = 0
    for number in range(10):  # a moment may lie behind the end of a run, or of several
        run = new_run(uninterrupted.recipe(), f"run-{number}")
        kills += killed_at_random(run, uninterrupted, random.Random(), 2)
        assert_same_run(run, uninterrupted)
        if kills:
            break
    assert kills


@pytest.mark.skipif(not LONG, reason="part of `make faults`")
@pytest.mark.parametrize("of", ["every kind of stage", "a growing image size"])
def test_killed_at_many_random_moments(uninterrupted: RunDir, new_run, table: Table, of: str):
    whole = uninterrupted
    if of != "every kind of stage":
        whole = new_run(GROWING, "whole")
        finish(whole)
    draw, kills, runs = random.Random(of), 0, 0
    while kills < LONG // 8:
        run = new_run(whole.recipe(), "killed")
        kills += killed_at_random(run, whole, draw, draw.randint(1, 5))
        runs += 1
        assert_same_run(run, whole)
        shutil.rmtree(run.path)
    table.tell("Kills", f"the trainer, at random moments of a run with {of}", MUST, f"{kills} kills in {runs} runs")


def train_after_download(folder: Path, data: Path, facts: dict[str, Any], name: str = "", number: int = 0) -> None:
    """Train a run on a small CIFAR-100 that is downloaded first, and be killed at the n-th operation of that name."""
    believe(facts)
    setattr(cifar100, "download", partial(cifar100.download, data))  # noqa: B010
    if name:
        watch(data, Nth(name, number, die))
    train_run(folder)


ON_CIFAR = recipe(stage(epochs=1), data="cifar100")


@pytest.fixture(scope="module")
def on_cifar(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that downloads its data, and is not interrupted."""
    run, (archive, facts) = RunDir.create(tmp_path_factory.mktemp("runs") / "whole", ON_CIFAR), pack()
    with served(send(archive)) as url:
        train_here(run, tmp_path_factory.mktemp("data"), facts | {"url": url})
    return run


@pytest.mark.parametrize("when", ["download", "unpacking"])
def test_killed_while_data_arrives_a_run_ends_the_same(on_cifar, new_run, tmp_path: Path, table: Table, when: str):
    archive, facts = pack()
    draw, data, kills = random.Random(when), tmp_path / "data", 0
    slow, fast = send(archive, chunk=len(archive) // 20, pause=0.05), send(archive)
    run = new_run(ON_CIFAR)
    for _ in range(LONG // 40 or 1):
        shutil.rmtree(data, ignore_errors=True)
        with served(slow if when == "download" else fast) as url:
            if when == "download":
                child = fork(train_after_download, run.path, data, facts | {"url": url})
                amount = draw.uniform(0.1, 0.9) * len(archive)
                wait(lambda: any(file.stat().st_size > amount for file in data.glob("*.gz*")))  # noqa: B023
                kill(child)
            else:
                name = f"write {draw.choice(('train', 'test', 'meta'))}"
                child = fork(train_after_download, run.path, data, facts | {"url": url}, name, 1)
                child.join()
        assert child.exitcode == -9
        kills += 1
    with served(fast) as url:
        train_here(run, data, facts | {"url": url})
    assert_same_run(run, on_cifar)
    assert sorted(file.name for file in data.iterdir()) == [FOLDER, ARCHIVE]
    if LONG:
        table.tell("Kills", f"the trainer, while it {WHILE[when]} CIFAR-100", MUST, f"{kills} kills")


WHILE = {"download": "downloads", "unpacking": "unpacks"}


def train_here(run: RunDir, data: Path, facts: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in facts.items():
            patch.setattr(CIFAR100, name, value)
        patch.setattr(cifar100, "download", partial(cifar100.download, data))
        finish(run)


def read_until(folder: Path, name: str, number: int) -> None:
    watch(folder, Nth(name, number, die))
    result(read(folder, 16))


def test_killed_while_it_stores_own_images_it_reads_them_again(tmp_path: Path, table: Table):
    for number in range(8):
        draw_image(tmp_path / "pets" / ("cat" if number % 2 else "dog") / f"{number}.png", number)
    whole = result(read(Path(shutil.copytree(tmp_path / "pets", tmp_path / "other")), 16))
    draft = f".tmp-{whole.file.name}"
    operations = (("mkdir .resnet_cifar", 1), (f"write {draft}", 1), (f"chmod {draft}", 1), (f"rename {draft}", 1))
    for name, number in operations if LONG else operations[-1:]:
        child = fork(read_until, tmp_path / "pets", name, number)
        child.join()
        assert child.exitcode == -9, name
        assert result(read(tmp_path / "pets", 16)).fingerprint == whole.fingerprint
        folder = tmp_path / "pets" / ".resnet_cifar"
        assert [file.name for file in folder.iterdir()] == [whole.file.name]
        shutil.rmtree(folder)
    if LONG:
        table.tell("Kills", "while it stores a person's own images", "they are read again", f"{len(operations)} kills")


@pytest.mark.skipif(not LONG, reason="part of `make faults`")
def test_the_pages_server_is_killed_and_its_run_goes_on(uninterrupted: RunDir, tmp_path: Path, table, monkeypatch):
    """Each page takes a few seconds to start."""
    monkeypatch.delenv("CIFAR100_DIR", raising=False)  # a run records where its data is
    draw, kills, size = random.Random(3), 0, uninterrupted.metrics_file.stat().st_size
    for number in range(LONG // 100 or 1):
        run = RunDir.create(tmp_path / f"runs-{number}" / "run", uninterrupted.recipe())
        run.queued_file.write_text('{"data_dir": null, "processes": 1, "time": 1.0}')
        while run.status() != "completed":
            page = start("-c", SERVE, run.path.parent, free_port())
            moment = draw.choice((0, draw.uniform(0, size)))
            wait(lambda: run.status() == "completed" or metrics_of(run) >= moment)  # noqa: B023
            time.sleep(draw.uniform(0, 6) if not moment else 0)
            page.kill()
            page.communicate()
            kills += 1
            if run.status() == "running":
                wait(lambda: run.status() != "running")  # noqa: B023
                assert run.status() == "completed"
        assert_same_run(run, uninterrupted)
    must = "its run goes on, or starts with the next page; it ends as without"
    table.tell("Kills", "the page's server, with a run that is queued or at work", must, f"{kills} kills")


SERVE = """
import sys
from pathlib import Path
from resnet_cifar.ui.page import serve
serve(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]))
"""


def metrics_of(run: RunDir) -> int:
    return run.metrics_file.stat().st_size if run.metrics_file.exists() else 0


@pytest.mark.skipif(not LONG, reason="part of `make faults`")
def test_a_process_of_several_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table):
    """Starts torchrun and two processes each time."""
    monkeypatch.setattr(launcher, "count", lambda _: 2)
    launching, draw = Launcher(tmp_path, CPU), random.Random(5)
    whole = launching.start(recipe(stage(epochs=4)), None, processes=2, name="whole")
    wait(lambda: whole.status() == "completed")
    victims = [0, 1, None] * (LONG // 200 or 1)
    run = launching.start(whole.recipe(), None, processes=2, name="run")
    for rank in victims:
        moment = draw.uniform(0, metrics_of(whole) / 2)
        wait(lambda: metrics_of(run) > moment)  # noqa: B023
        leader = run.holder()
        assert leader is not None and leader.pid is not None
        workers = [int(pid) for pid in Path(f"/proc/{leader.pid}/task/{leader.pid}/children").read_text().split()]
        os.kill(leader.pid if rank is None else workers[rank], signal.SIGKILL)
        wait(lambda: isinstance(run.last_event(), events.RunFailed) and run.holder() is None)
        wait(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))  # noqa: B023
        launching.resume(run)
        wait(lambda: not isinstance(run.last_event(), events.RunFailed))
    wait(lambda: run.status() == "completed")
    assert_same_run(run, whole)
    fault = "one of two processes that train together, or torchrun, which started them"
    table.tell("Kills", fault, f"the other ends, too; {MUST}", f"{len(victims)} kills")
