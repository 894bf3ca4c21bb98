import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_cifar.runs.run_dir import RunDir
from tests.builders import ROOT


@pytest.mark.process
def test_without_the_packages_the_command_that_installs_them_is_named():
    def bare(*flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-S", ROOT / "app.py", *flags], capture_output=True, text=True)

    page = bare()
    assert page.returncode == 2 and page.stderr.count("\n") == 1 and "Type `make page`" in page.stderr, page.stderr
    assert bare("--list-recipes").returncode == 0  # needs none of them


@pytest.mark.process
def test_an_installed_package_works_from_any_folder(tmp_path: Path):
    """Builds and installs the package, and trains with it: about 10 s."""
    source, installed, here = (tmp_path / name for name in ("source", "installed", "here"))
    shutil.copytree(ROOT / "resnet_cifar", source / "resnet_cifar", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(installed), str(source)], check=True, cwd=tmp_path)
    files = {file.relative_to(ROOT) for file in (ROOT / "resnet_cifar").rglob("*") if file.is_file()}
    left_out = {file for file in files if file.suffix not in (".pyc", ".pyi") and not (installed / file).exists()}
    assert not left_out
    here.mkdir()

    def run(*flags: str) -> str:
        env = os.environ | {"PYTHONPATH": str(installed)}
        command = [sys.executable, "-m", "resnet_cifar", *flags]
        done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    flags = "--recipe quick --arch tiny --data synthetic --train-images 200 --val-images 100 --epochs 1 --device cpu"
    run("--train-only", *flags.split())
    assert RunDir(here / "checkpoints" / "quick-1").status() == "completed"
    assert "quick-1" in run("--list-runs")
