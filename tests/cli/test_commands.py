"""Commands other than training: evaluate, list, export."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.cli import main as cli
from resnet_cifar.recipe.classes import FINE
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import ROOT, checkpoint
from tests.builders import recipe as tiny
from tests.cli.conftest import SMALL


@pytest.mark.process
def test_listing_imports_no_torch():
    script = (
        "import sys\nfrom resnet_cifar.cli.main import main\n"
        "main(['--list-runs'])\nmain(['--list-recipes'])\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    for name in ("transfer", "scratch", "quick"):
        assert f"\n{name}: " in "\n" + done.stdout


def test_runs_are_listed(run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("resnet_cifar.paths.CHECKPOINTS", run.path.parent)
    assert cli.main(["--list-runs"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["run", "recipe", "status", "epochs"]
    assert re.match(r"tiny +tiny +completed +2/2 +[\d.]+ % +[\d.]+ %", row)
    run.queued_file.touch()
    assert cli.main(["--list-runs"]) == 0 and " queued " in capsys.readouterr().out
    monkeypatch.setattr("resnet_cifar.paths.CHECKPOINTS", run.path / "none")
    assert cli.main(["--list-runs"]) == 0
    assert "no runs in" in capsys.readouterr().out


@pytest.mark.slow
def test_val_can_be_evaluated_and_mirror_images_too(run: RunDir, capsys: pytest.CaptureFixture[str]):
    def printed(*flags: str) -> str:
        assert cli.main(["--evaluate", str(run.path), "--data", "synthetic", *flags]) == 0
        return capsys.readouterr().out

    run.recipe_file.write_text(tiny(val_images=100).to_json())
    plain, mirrored, val = printed("--split", "test"), printed("--tta"), printed("--split", "val")
    assert plain == printed() and plain.startswith("test top-1") and "on 1,000 images" in plain
    assert "mirror images too" in mirrored and mirrored.splitlines()[0] != plain.splitlines()[0]
    assert val.startswith("val top-1") and "on 100 images" in val
    best = run.history()
    top1 = max(event.val.top1 for event, _ in best if isinstance(event, events.EpochEnded) and event.val)
    assert f"val top-1 {100 * top1:.2f} %" in val
    assert "at 32 px" in plain
    larger = printed("--image-size", "48")
    assert "at 48 px" in larger and larger.splitlines()[0] != plain.splitlines()[0]
    assert cli.main(["--evaluate", str(run.path), "--data", "synthetic", "--image-size", "8"]) == 2
    assert "--image-size is 8; it must lie between 16 and 512" in capsys.readouterr().err
    run.recipe_file.write_text(tiny(val_images=0).to_json())
    assert cli.main(["--evaluate", str(run.path), "--data", "synthetic", "--split", "val"]) == 2
    assert "has no val images" in capsys.readouterr().err


def test_a_checkpoint_of_other_classes_is_not_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Nor one with the same number of classes, whose results would mean nothing."""
    for name, labels in (("few", ("cat", "dog")), ("shuffled", tuple(reversed(FINE)))):
        folder = checkpoint(tmp_path / name, labels=labels)
        assert cli.main(["--evaluate", str(folder), "--data", "synthetic"]) == 2
        error = capsys.readouterr().err
        assert f"'{name}'" in error and "other classes" in error and error.count("\n") == 1


def test_what_an_export_needs_is_asked_for_before_training(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resnet_cifar.model.export._PACKAGES", ("onnx_of_tomorrow",))
    assert cli.main(["--train-only", *SMALL, "--run", str(tmp_path / "run"), "--export", "onnx"]) == 2
    assert "requirements-onnx.txt" in capsys.readouterr().err and not (tmp_path / "run").exists()
