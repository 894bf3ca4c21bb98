"""The benchmarks can be started; what they measure is no matter of tests."""

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.tune import VARIANTS, variant
from resnet_cifar.events import RunCompleted
from resnet_cifar.inspection.predictions import stored
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import ROOT

Bench = Callable[..., str]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Run a benchmark as Python does, but in this process; returns what it prints."""

    def run(script: Path, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])
        with suppress(SystemExit):
            runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("[a-z]*.py")), ids=lambda script: script.stem)
def test_a_benchmark_says_what_it_takes(script: Path, bench: Bench):
    assert f"usage: {script.name}" in bench(script, "--help")


@pytest.mark.parametrize("name", [*VARIANTS, "no TrivialAugment + no mixing"])
@pytest.mark.parametrize("recipe", ["scratch", "sprint", "overnight"])
def test_a_variant_is_another_recipe(recipe: str, name: str):
    before = RECIPES[recipe]
    unchanged = name in ("baseline", "distillation") or name in HAS_NOT[recipe]
    assert (variant(before, name) == before) is unchanged


GROWING = ("constant size", "plain middle")
PLAIN = ("no mixing", "no TrivialAugment", "no TrivialAugment + no mixing")  # overnight begins so
HAS_NOT = {
    "scratch": GROWING,
    "sprint": ("CIFAR stem at 32 px", "mixing to the end", *PLAIN, *GROWING),
    "overnight": PLAIN,
}


@pytest.mark.slow
def test_what_ships_is_trained_with_a_teacher_and_tested_and_a_cut_is_no_harm(tmp_path: Path, bench: Bench):
    """Two runs of a tiny network: about 6 s."""
    final = ROOT / "benchmarks" / "final.py"
    small = ["--data=synthetic", "--train-images=600", "--val-images=100", "--epochs=1", "--image-size=32"]
    small += ["--arch=tiny", "--batch-size=100", "--device=cpu"]
    (tmp_path / "teacher").mkdir()  # cut off before it had begun
    bench(final, "--runs", tmp_path, *small)
    assert json.loads((tmp_path / "final" / "recipe.json").read_text())["teacher"] == str(tmp_path / "teacher")
    weights = (tmp_path / "final" / "model.safetensors").read_bytes()
    shipped = RunDir(tmp_path / "resnet34-cifar100")
    shutil.rmtree(shipped.path)
    printed = bench(final, "--runs", tmp_path, *small)
    assert (tmp_path / "final" / "model.safetensors").read_bytes() == weights
    assert {file.name for file in shipped.path.iterdir()} == {
        *("README.md", "config.json", "curves.png", "eval.json", "metrics.jsonl", "model.safetensors", "recipe.json"),
        "unknown.safetensors",
        "inspection",
    }
    result, last = json.loads((shipped.path / "eval.json").read_text()), shipped.last_event()
    assert f"test top-1 {100 * result['top1']:.2f} %" in printed
    assert isinstance(last, RunCompleted) and last.test.top1 == result["top1"]  # everywhere it is the shipped file's
    assert stored(shipped, "test").summary() == result and len(stored(shipped, "val")) == 100
