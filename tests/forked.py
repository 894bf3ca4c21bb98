"""Child processes that a test can signal or kill: forked from one that has imported torch, so each costs little."""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.session import train
from tests.builders import CPU

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.warm"])
_children: list[BaseProcess] = []


def fork(work: Callable[..., object], *arguments: object) -> BaseProcess:
    """Call a function of a module in a child that dies with the test that starts it."""
    child = _context.Process(target=_work, args=(work, arguments), daemon=True)
    child.start()
    _children.append(child)
    return child


def _work(work: Callable[..., object], arguments: Sequence[object]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, and by the forking process
    work(*arguments)


def kill(child: BaseProcess) -> None:
    child.kill()
    child.join()


def kill_all() -> None:
    while _children:
        kill(_children.pop())


def train_run(folder: Path, save_every: float = 60.0, data_dir: Path | None = None) -> None:
    """Train a run to its end, like the process of a run, but without a word."""
    for _ in train(RunDir(folder), device=CPU, data_dir=data_dir, save_every=save_every):
        pass
