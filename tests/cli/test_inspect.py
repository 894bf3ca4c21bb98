"""`--inspect`: the same facts as tables and as JSON."""

import json
import re
from pathlib import Path

import pytest

from resnet_cifar.cli import main as cli
from resnet_cifar.inspection.predictions import stored
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import checkpoint, recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = RunDir.create(tmp_path_factory.mktemp("runs") / "run", recipe())
    checkpoint(run.path, image_size=32)
    return run


def test_evaluating_and_inspecting_tell_the_same(run: RunDir, capsys: pytest.CaptureFixture[str]):
    def printed(*flags: str) -> str:
        assert cli.main([*flags, "--device", "cpu"]) == 0
        return capsys.readouterr().out

    evaluated = printed("--evaluate", str(run.path))
    made = (run.path / "inspection" / "test.safetensors").stat().st_mtime_ns
    text = printed("--inspect", str(run.path))
    assert text.splitlines()[0] == evaluated.splitlines()[0] and "calibration error" in evaluated
    assert (run.path / "inspection" / "test.safetensors").stat().st_mtime_ns == made  # what was stored is used
    found, summary = json.loads(printed("--inspect", str(run.path), "--json")), stored(run, "test").summary()
    assert {key: found[key] for key in summary} == summary
    assert sum(row["images"] for row in found["reliability"]) == 1000 and len(found["reliability"]) == 15
    for title in ("Reliability", "Most confused", "Classes", "Worst mistakes", "Likely label errors"):
        assert len(re.findall(f"^{title}", text, re.MULTILINE)) == 1
    first = found["worst_mistakes"][0]
    assert re.search(rf"^{first['row']} +{first['label']} +{first['predicted']} .* {first['loss']:.2f}$", text, re.M)
    assert found["corrected_labels"] is None  # nobody rated these images


def test_other_sizes_other_data_and_mirror_images_are_not_stored(run: RunDir, capsys: pytest.CaptureFixture[str]):
    before = {file.name: file.stat().st_mtime_ns for file in (run.path / "inspection").glob("*")}
    for flags in (["--image-size", "40"], ["--tta"]):
        assert cli.main(["--evaluate", str(run.path), "--device", "cpu", *flags]) == 0
    assert {file.name: file.stat().st_mtime_ns for file in (run.path / "inspection").glob("*")} == before


def test_val_is_evaluated_where_it_has_not_been(run: RunDir, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--inspect", str(run.path), "--split", "val"]) == 0
    assert capsys.readouterr().out.startswith("val top-1") and len(stored(run, "val")) == 100


def test_a_run_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--inspect", str(tmp_path / "none")]) == 2
    assert "none is not a checkpoint" in capsys.readouterr().err
