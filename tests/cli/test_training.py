"""Training from the command line in processes of its own: exit codes, output, full disks and memory, Ctrl-C."""

import os
import pty
import re
import resource
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import ROOT, app, start
from tests.cli.conftest import SMALL


@pytest.mark.process
def test_training_imports_nothing_that_it_does_not_need(tmp_path: Path):
    """Not the page's packages, torch's compiler or torchvision, a second each. Starts two processes: about 6 s."""
    script = (
        "import sys\nfrom resnet_cifar.cli.main import main\ncode = main(sys.argv[1:])\n"
        "slow = {'gradio', 'plotly', 'fastapi', 'huggingface_hub', 'torchvision', 'torch._dynamo'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", script, "--train-only", *SMALL, "--run", f"{tmp_path}/run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert RunDir(tmp_path / "run").status() == "completed"
    # The same output as somebody reads it who sends it to a file.
    assert "\r" not in done.stdout + done.stderr
    for line in (r"^stage 1/1: everything, trainable: everything; 1 epoch of 200 images", r"^everything 1/1  train"):
        assert re.search(line, done.stdout, re.MULTILINE), done.stdout
    result = re.search(r"^test top-1 (.*) %, top-5", done.stdout, re.MULTILINE)
    evaluated = app("--evaluate", f"{tmp_path}/run")
    assert result and evaluated.returncode == 0
    assert result.group(0) in evaluated.stdout


@pytest.mark.process
def test_quick_learns_real_images(cifar100_dir: Path, tmp_path: Path):
    """Trains a tiny network on 8,000 real images, and tests on all 10,000: about 5 s."""
    arguments = ("--recipe", "quick", "--arch", "tiny", "--train-images", 8000, "--val-images", 200, "--epochs", 1)
    done = app("--train-only", *arguments, "--run", tmp_path / "run", "--data-dir", cifar100_dir)
    assert done.returncode == 0, done.stderr
    run = RunDir(tmp_path / "run")
    last = run.last_event()
    assert isinstance(last, events.RunCompleted)
    assert last.test.top1 > 0.02  # chance is 0.01, with a standard deviation of 0.001
    estimate = re.search(r"^needs about ([\d.]+) GiB of memory; [\d.]+ GiB are free$", done.stdout, re.MULTILINE)
    peak = max(event.memory or 0 for event, _ in run.history() if isinstance(event, events.StepLogged)) / 2**30
    assert estimate and float(estimate[1]) == pytest.approx(peak, rel=0.2)
    assert f", peak memory {peak:.1f} GiB;" in done.stdout


@pytest.mark.process
def test_an_offline_download_fails_the_run_with_a_message(tmp_path: Path):
    """Starts a Python process."""
    run = tmp_path / "run"
    environment = {k: v for k, v in os.environ.items() if k != "CIFAR100_DIR"} | {"https_proxy": "http://127.0.0.1:9"}
    environment["HF_HUB_OFFLINE"] = "1"  # the Hub's client would try again for 20 s
    if list((ROOT / "data").glob("cifar*100*")):
        pytest.skip("the data has been downloaded here already")
    done = app("--train-only", "--run", run, "--recipe", "quick", env=environment)
    assert done.returncode == 2, done.stderr
    assert "error: cannot download CIFAR-100" in done.stderr and "Traceback" not in done.stderr
    assert RunDir(run).status() == "failed"


def limited(kind: int, size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (size, size))


@pytest.mark.process
def test_out_of_memory(tmp_path: Path):
    """Starts a Python process. A limit on its memory replaces a small machine."""
    arguments = ("--train-only", *SMALL, "--train-images", "5000", "--batch-size", "5000", "--image-size", "512")
    limit = limited(resource.RLIMIT_AS, 14 * 2**30)
    done = app(*arguments, "--run", tmp_path / "run", preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert "out of memory in stage 'everything' at batch size 5000 and 512 px" in done.stderr
    assert "--batch-size 2500" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.process
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_exit_codes_of_a_stopped_run(tmp_path: Path, number: int, code: int):
    """Starts a Python process and waits for its first epochs: about 8 s."""
    child = start(ROOT / "app.py", "--train-only", *SMALL, "--epochs", "500", "--run", tmp_path / "run")
    assert child.stdout is not None
    while not child.stdout.readline().startswith("everything   1/500"):
        pass
    child.send_signal(number)
    out, _ = child.communicate(timeout=30)
    assert child.returncode == code, out
    assert f"--resume {tmp_path}/run" in out and "Traceback" not in out


# Sends itself SIGINT at the worst moment: while the C++ code of torch imports numpy.
INTERRUPTED = """
import os, signal, sys
from resnet_cifar.cli.main import main

class Interrupt:
    def find_spec(self, name, *_):
        if name == "numpy.linalg" and "torch" in sys.modules:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.process
def test_ctrl_c_while_torch_is_imported(tmp_path: Path):
    """Torch's C++ code swallows a KeyboardInterrupt there, so the run would continue."""
    child = start("-c", INTERRUPTED, "--train-only", *SMALL, "--epochs", "500", "--run", tmp_path / "run")
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 130 and not out, out


@pytest.mark.process
def test_a_terminal_gets_a_bar(tmp_path: Path):
    """Trains in a pseudo-terminal: about 8 s."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 100))
    command = [sys.executable, str(ROOT / "app.py"), "--train-only", *SMALL, "--run", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=child, stderr=child, stdin=child, cwd=ROOT)
    os.close(child)
    seen = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    assert process.wait() == 0
    text = seen.decode()
    assert "\r" in text and re.search(r"everything: +\d+%.*img/s", text), text
    assert "test top-1" in text
