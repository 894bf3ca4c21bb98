"""What several tests start from: a run small enough to train in a second or two, and the real data where it is."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from resnet_cifar.augmentations import AUGMENTATIONS
from resnet_cifar.config import HEAD, Recipe, Stage
from resnet_cifar.run_dir import RunDir

if TYPE_CHECKING:
    from tests.hub_server import HubServer

ROOT = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")


# A run that someone trains on this machine must not stand in the tests' way, nor they in its.
if "resnet_cifar-tests" not in os.environ.get("TMPDIR", ""):  # a child of a test's has been here already
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="resnet_cifar-tests-")
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)


def stage(**changes) -> Stage:
    fields = {"name": "everything", "epochs": 2, "lr": 0.05, "batch_size": 16, "augmentation": AUGMENTATIONS["erase"]}
    return Stage(**fields | changes)


def recipe(*stages: Stage, **changes) -> Recipe:
    """ResNet-18 on 100 synthetic pictures: 7 steps an epoch, the last one on 4 pictures."""
    fields = {
        "name": "tiny",
        "arch": "resnet18",
        "data": "synthetic",
        "train_images": 100,
        "val_images": 100,
        "log_every": 3,
        "stages": stages or (stage(),),
    }
    return Recipe(**fields | changes)


def staged_recipe(**changes) -> Recipe:
    """One stage of each kind: features computed once, part of the network, all of it with an average."""
    return recipe(
        stage(name="head", trainable=HEAD, lr=0.1, augmentation=AUGMENTATIONS["standard"]),
        stage(name="top", epochs=1, trainable=("layer4", "fc"), augmentation=AUGMENTATIONS["strong"]),
        stage(name="everything", ema_decay=0.99, label_smoothing=0.1, warmup_epochs=0.5),
        **changes,
    )


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


def app(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    """Run the front door in a process of its own."""
    command = [sys.executable, str(ROOT / "app.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def spawn(*command: object, **options) -> subprocess.Popen[str]:
    """Start a Python child whose output can be read line by line."""
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # or a test in the background ignores it
        cwd=ROOT,
        **options,
    )


_children: list[subprocess.Popen[str]] = []


def start(*command: object, **options) -> subprocess.Popen[str]:
    """The same, of a child that dies with the test that starts it."""
    _children.append(spawn(*command, **options))
    return _children[-1]


@pytest.fixture(autouse=True)
def _no_child_outlives_its_test() -> Iterator[None]:
    """Or, where a test fails, its run would keep the device from all that follow."""
    yield
    while _children:
        with _children.pop() as child:  # closes the pipe, too
            child.kill()


def wait(until: Callable[[], object], seconds: float = 60) -> float:
    """Wait until something is so; how many seconds that took."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, "in vain"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A completed run. Its recipe says that it saw CIFAR-100, and comes from a file of this machine."""
    from resnet_cifar.train import train

    root = tmp_path_factory.mktemp("trained")
    run = RunDir.create(root / "tiny", recipe())
    *_, _ = train(run, device=CPU, data_dir=root)
    run.recipe_file.write_text(replace(recipe(data="cifar100"), init=str(root / "start.pth")).to_json())
    return run


@pytest.fixture
def run(trained: RunDir, tmp_path: Path) -> RunDir:
    """A copy of it."""
    return RunDir(Path(shutil.copytree(trained.path, tmp_path / "tiny")))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[HubServer]":
    """A small Hub that this process talks to as somebody who may write."""
    from resnet_cifar import push as pushing
    from tests.hub_contents import WRITE
    from tests.hub_server import HubServer

    with HubServer() as hub:
        hub.patch(monkeypatch, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", WRITE)
        monkeypatch.setattr(pushing, "_WAITS", (0.05, 0.05))
        yield hub


def content(run: RunDir) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in run.path.iterdir()}
