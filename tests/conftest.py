"""What several tests start from: a run small enough to train in a second or two, and the real data where it is."""

import functools
import gc
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from multiprocessing.util import Finalize
from pathlib import Path

import pytest
import torch

from resnet_cifar.data import synthetic
from resnet_cifar.runs.run_dir import RunDir
from tests import forked
from tests.builders import CPU, _children, recipe, staged_recipe


def _own_temporary_folder() -> None:
    """Give this process, and its children, a temporary folder of their own: locks on devices live there, so runs of
    other test workers, and those of the person at this machine, do not stand in the way.
    """
    name = f"resnet_cifar-tests-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}-"
    if name in os.environ.get("TMPDIR", ""):  # a child process of a test inherits its folder
        return
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix=name, dir=_OUTERMOST)
    after_forking = -200  # the lowest priority goes last: the forking process has files there
    Finalize(None, shutil.rmtree, (tempfile.tempdir,), {"ignore_errors": True}, exitpriority=after_forking)


pytest.register_assert_rewrite("tests.training.same", "tests.training.player")
_OUTERMOST = os.environ.setdefault("RESNET_CIFAR_TESTS_TMPDIR", tempfile.gettempdir())
_own_temporary_folder()
# A shell lets what it starts in the background ignore Ctrl-C, and all children of that; some tests send it to both.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Several workers share the cores; threads that wait for each other would take longer than one thread each.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)  # it has read the environment


gc.disable()  # until all tests are collected, with torch and gradio: what is there then stays


def pytest_collection_finish() -> None:
    """Spend no more time on looking for garbage among a million objects."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores, because tests that wait for a page or a child leave theirs idle."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """End with what the pages of failed tests showed, in short: of a long log, only the end may be kept."""
    yield
    for report in terminalreporter.stats.get("failed", []):
        for title, shown in report.sections:
            if title.startswith("page "):
                terminalreporter.write_line(f"{report.nodeid}, {title}: " + " | ".join(shown.split("\n"))[-1_500:])


_LONG = ("browser", "process", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that look at the page with a browser. Files that take long run first, so that all workers end
    at the same time: those with a browser, then those that start processes.
    """
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    rank = dict.fromkeys((item.path for item in items), len(_LONG))
    for item in items:
        for place, name in enumerate(_LONG):
            if item.get_closest_marker(name):
                rank[item.path] = min(rank[item.path], place)
    items.sort(key=lambda item: rank[item.path])


@pytest.fixture(autouse=True)
def _a_test_that_starts_a_process_is_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the quick tests would not stay quick."""
    if not any(request.node.get_closest_marker(name) for name in ("process", "browser", "slow")):
        monkeypatch.setattr(subprocess.Popen, "__init__", _refuse)


def _refuse(*_: object, **__: object) -> None:
    pytest.fail("a test that starts a process is to be marked: pytest.mark.process")


@pytest.fixture(scope="session", autouse=True)
def _synthetic_images_are_generated_once() -> None:
    """Most tests that train load them, and nothing may change them."""
    synthetic._split = functools.cache(synthetic._split)


@pytest.fixture(autouse=True)
def _work_that_another_test_left_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a run of the command line would end this whole process, as it does where a download hangs."""
    monkeypatch.setattr("resnet_cifar.system.background.is_at_work", lambda: False)


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., RunDir]:
    """Makes the folder of a run in a place of its own."""
    return lambda recipe, name="run": RunDir.create(tmp_path / name, recipe)


@pytest.fixture(scope="session")
def cifar100_dir() -> Path:
    """Where the real data is."""
    folder = os.environ.get("CIFAR100_DIR")
    if not folder:
        pytest.skip("CIFAR100_DIR does not say where the real CIFAR-100 is")
    return Path(folder)


@pytest.fixture(autouse=True)
def _no_child_outlives_its_test() -> Iterator[None]:
    """Or, where a test fails, its run would keep the device from all that follow."""
    yield
    while _children:
        with _children.pop() as child:  # closes the pipe, too
            child.kill()
    forked.kill_all()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A completed run. Its recipe says that it saw CIFAR-100, and comes from a file of this machine."""
    from resnet_cifar.training.session import train

    root = tmp_path_factory.mktemp("trained")
    run = RunDir.create(root / "tiny", recipe())
    *_, _ = train(run, device=CPU, data_dir=root)
    run.recipe_file.write_text(replace(recipe(data="cifar100"), init=str(root / "start.pth")).to_json())
    return run


@pytest.fixture
def run(trained: RunDir, tmp_path: Path) -> RunDir:
    """A copy of it."""
    return RunDir(Path(shutil.copytree(trained.path, tmp_path / "tiny")))


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run of each kind of stage, completed without an interruption."""
    from resnet_cifar.training.session import train

    run = RunDir.create(tmp_path_factory.mktemp("runs") / "straight", staged_recipe(train_images=200))
    *_, _ = train(run, device=CPU, data_dir=None)
    return run
