"""The benchmarks can be started; what they measure is no matter of tests."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tune import VARIANTS, variant
from resnet_cifar.events import RunCompleted
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import ROOT


def bench(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(ROOT / "benchmarks" / name), *map(str, arguments)]
    return subprocess.run(script, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("[a-z]*.py")), ids=lambda script: script.stem)
def test_a_benchmark_says_what_it_takes(script: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])  # as Python does for a script
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    assert f"usage: {script.name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", [*VARIANTS, "TrivialAugment + no mixing"])
@pytest.mark.parametrize("recipe", ["scratch", "sprint", "overnight"])
def test_a_variant_is_another_recipe(recipe: str, name: str):
    before = RECIPES[recipe]
    unchanged = name in ("baseline", "distillation") or name in HAS_NOT[recipe]
    assert (variant(before, name) == before) is unchanged


GROWING = ("constant size", "plain middle")
MIXED = ("no mixing", "mixing to the end", "CutMix only", "no erasing")
HAS_NOT = {"scratch": GROWING, "sprint": (*GROWING, *MIXED), "overnight": ("no mixing", "CutMix only", "no erasing")}


@pytest.mark.process
def test_what_ships_is_made_tested_and_packed_and_a_cut_is_no_harm(tmp_path: Path):
    """Two runs, three starts and six evaluations: about 20 s."""
    small = ["--recipe=quick", "--data=synthetic", "--train-images=100", "--epochs=1", "--arch=tiny", "--device=cpu"]
    runs, out = tmp_path / "runs", tmp_path / "out"
    (runs / "final-0").mkdir(parents=True)  # cut off before it had begun
    done = bench("final.py", out, "--runs", runs, "--seeds", 0, *small)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(out)
    weights = (runs / "final-0" / "model.safetensors").read_bytes()
    done = bench("final.py", out, "--runs", runs, "--seeds", 0, 1, *small)
    assert done.returncode == 0, done.stderr
    assert (runs / "final-0" / "model.safetensors").read_bytes() == weights
    assert json.loads((runs / "final-1" / "recipe.json").read_text())["seed"] == 1
    told = (out / "results.txt").read_text()
    assert [told.count(f"{name}\n") for name in ("final-0", "final-1", "resnet34-cifar100")] == [2, 2, 2]
    packed = b"".join(part.read_bytes() for part in sorted(out.glob("resnet34-cifar100.tar.*")))
    (tmp_path / "whole.tar").write_bytes(packed)
    shutil.unpack_archive(tmp_path / "whole.tar", tmp_path / "there", filter="data")
    shipped = tmp_path / "there" / "resnet34-cifar100"
    assert {file.name for file in shipped.iterdir()} == {
        *("README.md", "config.json", "curves.png", "eval.json", "metrics.jsonl", "model.safetensors", "recipe.json")
    }
    result = json.loads((shipped / "eval.json").read_text())
    assert f"test top-1 {100 * result['top1']:.2f} %" in told.split("resnet34-cifar100\n")[1]
    last = RunDir(shipped).last_event()
    assert isinstance(last, RunCompleted) and last.test.top1 == result["top1"]  # everywhere it is the shipped file's
