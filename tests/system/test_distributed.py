"""Several processes train one run: two of them, on the CPU, started by torchrun as several GPUs would be."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.distributed import ALONE, World
from tests.builders import ROOT, wait
from tests.engine import losses

pytestmark = pytest.mark.process

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]


def together() -> dict:
    """What two processes learn."""
    done = subprocess.run(
        [*TORCHRUN, ROOT / "tests" / "engine" / "losses.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_processes_learn_what_one_does():
    """Every kind of stage and of augmentation; starts torchrun: about 12 s."""
    learned_together = together()
    for name, recipe in losses.RECIPES.items():
        one, two = losses.learned(recipe, ALONE), learned_together[name]
        assert len(one["losses"]) > 10
        assert two["losses"] == pytest.approx(one["losses"], rel=1e-3)
        assert two["vals"] == pytest.approx(one["vals"], rel=1e-3)
        assert two["weights"] == pytest.approx(one["weights"], rel=1e-5)


def torchrun(flags: str) -> subprocess.Popen[str]:
    command = [*TORCHRUN, "app.py", "--train-only", "--device", "cpu", *flags.split()]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def workers(parent: int) -> list[int]:
    """The processes that a torchrun started, in the order of their ranks."""
    told = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True).stdout.split()
    return sorted(map(int, told))


def test_they_leave_one_set_of_files_and_stop_and_go_on_together(tmp_path: Path):
    """Stopped by a signal to the second one alone. Starts torchrun twice: about 15 s."""
    run = RunDir(tmp_path / "pair")
    new = "--recipe quick --arch tiny --data synthetic --train-images 400 --val-images 100 --epochs 20"
    output = stopped_after_an_epoch(run, torchrun(f"{new} --run {run.path}"))
    assert "stopped by SIGTERM; everything is saved" in output and run.status() == "stopped"
    assert sum(isinstance(event, events.RunStopped) for event, _ in run.history()) == 1
    assert output.count("first step after") == 1
    assert sum(isinstance(event, events.StageStarted) for event, _ in run.history()) == 1  # two writers: twice

    output = torchrun(f"--resume {run.path}").communicate(timeout=120)[0]
    assert output.count("the checkpoint is") == 1, output[-3000:]
    epochs = [event.epoch for event, _ in run.history() if isinstance(event, events.EpochEnded)]
    assert epochs == list(range(20)) and run.status() == "completed"
    assert {"model.safetensors", "eval.json", "config.json"} <= {file.name for file in run.path.iterdir()}
    assert not run.last_file.exists()


def stopped_after_an_epoch(run: RunDir, process: subprocess.Popen[str]) -> str:
    """Signal the second process of the two once an epoch has ended; return what they printed."""
    began = time.time()
    try:
        while not any(isinstance(event, events.EpochEnded) and when > began for event, when in run.history()):
            assert time.time() - began < 120 and process.poll() is None, process.communicate()[0][-3000:]
            time.sleep(0.1)
        os.kill(workers(process.pid)[1], signal.SIGTERM)
        return process.communicate(timeout=60)[0]
    finally:
        for left in (*workers(process.pid), process.pid) if process.poll() is None else ():
            os.kill(left, signal.SIGKILL)


def test_a_stop_during_a_download_ends_all_processes_in_order(tmp_path: Path):
    """Only rank 1 hears of it, while rank 0 waits for the network. Starts torchrun: about 10 s."""
    run, script = RunDir(tmp_path / "stalled"), ROOT / "tests" / "system" / "stalled.py"
    env = {name: value for name, value in os.environ.items() if name != "CIFAR100_DIR"} | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*TORCHRUN, str(script), str(run.path)],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait(lambda: run.path.exists() and isinstance(run.last_event(), events.Progress), 120)
    os.kill(workers(process.pid)[1], signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert run.last_event() == events.RunStopped(by="SIGTERM")
    assert "stopped by SIGTERM" in output and "another process" not in output and "by peer" not in output


def test_alone_everything_is_ones_own():
    assert ALONE.shard(7) == slice(0, 7) and list(ALONE.batches(5, 2)) == [
        (slice(0, 2), 2),
        (slice(2, 4), 4),
        (slice(4, 5), 5),
    ]


@pytest.mark.parametrize("total,batch,size", [(10, 3, 2), (1, 4, 3), (12, 4, 3), (13, 2, 4)])
def test_shares_cover_everything_once_and_all_have_as_many_batches(total: int, batch: int, size: int):
    worlds = [World(rank, size) for rank in range(size)]
    shares = [list(range(total))[world.shard(total)] for world in worlds]
    assert list(chain(*shares)) == list(range(total)) and max(map(len, shares)) - min(map(len, shares)) <= 1
    batches = [list(world.batches(total, batch)) for world in worlds]
    assert len({len(own) for own in batches}) == 1 and batches[0][-1][1] == total
    seen = [index for own in batches for part, _ in own for index in range(total)[part]]
    assert sorted(seen) == list(range(total))
