"""The benchmarks can be started; what they measure is no matter of tests."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("[a-z]*.py")), ids=lambda script: script.stem)
def test_a_benchmark_says_what_it_takes(script: Path):
    """Imports torch and all that the benchmark uses: about 3 s."""
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert f"usage: {script.name}" in done.stdout
