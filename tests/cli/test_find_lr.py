"""The learning-rate finder in the terminal."""

import re
import signal
from pathlib import Path

import pytest

from resnet_cifar.cli import main as cli
from resnet_cifar.errors import Busy
from resnet_cifar.training.preflight import check_free, using
from tests.builders import CPU, start

SMALL = ("--recipe", "quick", "--arch", "tiny", "--data", "synthetic", "--train-images", "200", "--val-images", "100")


@pytest.mark.slow
def test_a_suggestion_is_printed_that_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """And nothing is left: no run, no lock."""
    monkeypatch.setattr("resnet_cifar.runs.run_dir.CHECKPOINTS", tmp_path)
    monkeypatch.chdir(tmp_path)
    outputs = []
    for _ in range(2):
        assert cli.main(["--find-lr", *SMALL, "--batch-size", "16"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    lines = outputs[0].splitlines()
    rows = [line.split() for line in lines if "█" in line]
    assert 10 <= len(rows) <= 30 and [float(row[0]) for row in rows] == sorted(float(row[0]) for row in rows)
    found = re.match(r"suggestion: --lr (\S+) \(a tenth of (\S+), where", lines[-1])
    assert found and float(found[1]) == pytest.approx(float(found[2]) / 10, rel=0.06)
    check_free(CPU)
    assert not list(tmp_path.iterdir())


def test_a_stage_is_chosen_and_other_numbers_are_refused(main, tmp_path: Path, capsys):
    assert main("--find-lr", *SMALL, "--stage", "2") == (2, "error: --stage is 2; recipe 'quick' has 1 stage.\n")
    code, error = main("--find-lr", *SMALL, "--lr", "0.1")
    assert code == 2 and "--find-lr does not take --lr 0.1" in error


def test_a_busy_device_is_refused_and_a_test_keeps_it_from_runs(main, tmp_path: Path):
    with using(CPU, "some-run"):
        code, error = main("--find-lr", *SMALL)
    assert code == 2 and "busy with run 'some-run'" in error
    with using(CPU, "the learning-rate finder"), pytest.raises(Busy, match="busy with the learning-rate finder; stop"):
        check_free(CPU)


@pytest.mark.process
def test_ctrl_c_ends_it_cleanly():
    """Starts a process: about 5 s. It says what it does at once, instead of every ten seconds."""
    script = "import sys; from resnet_cifar.cli import main, terminal; terminal._LINE_EVERY = 0; sys.exit(main.main())"
    child = start("-c", script, "--find-lr", *SMALL, "--arch", "resnet18", "--batch-size", "64", "--image-size", "64")
    assert child.stdout is not None
    printed: list[str] = []
    while not any("finding a learning rate" in line for line in printed):
        printed.append(child.stdout.readline())
        assert printed[-1], printed
    child.send_signal(signal.SIGINT)
    rest = child.stdout.read()
    assert child.wait() == 130 and "nothing was stored" in rest and "Traceback" not in rest
