"""The form of a new run, called as plain functions."""

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs import locks
from resnet_cifar.runs.record import Records
from resnet_cifar.system.device import identity
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.setup import Answered, Setup
from resnet_cifar.ui.train.stages import rows_of
from tests.builders import CPU


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    launcher, estimates = Launcher(tmp_path, CPU), Estimates(Records(tmp_path), CPU)
    with gr.Blocks():
        return Setup(launcher, Models(tmp_path, Rights()), estimates, Rights(), gr.Timer())


def form(data_dir: str = "", **cells: str) -> list[Any]:
    """`quick` with changed cells in its first stage."""
    first, *others = rows_of(RECIPES["quick"])
    return ["quick", [first | cells, *others], "cifar100", data_dir, "scratch", 0]


def test_a_final_answer_is_not_repeated(setup: Setup, tmp_path: Path):
    wrong = form(str(tmp_path / "nowhere"))
    _, line, answered = setup.answer(None, *wrong)
    assert "nowhere" in line and answered == Answered(wrong, True)
    assert setup.answer(answered, *wrong) == (gr.skip(),) * 3


def test_an_answer_to_an_earlier_form_is_replaced_at_the_next_tick(setup: Setup, tmp_path: Path):
    """The faults in the table too."""
    late = Answered(form(str(tmp_path / "nowhere")), True)
    table, line, answered = setup.answer(late, *form(epochs="many"))
    assert list(table["faults"]) == ["0.epochs"] and "marked values" in line
    assert answered == Answered(form(epochs="many"), True)


def test_data_is_hashed_once_for_each_change_of_the_form(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    hashed: list[Path] = []
    monkeypatch.setattr("resnet_cifar.ui.train.setup.find", hashed.append)
    with locks.locked(locks.device_file(identity(CPU)), "a run"):  # so that the estimate stays pending
        answered = None
        for changed in (form(str(tmp_path)), form(str(tmp_path), epochs="7")):
            for _ in range(5):
                _, line, answered = setup.answer(answered, *changed)
                assert "when the current run has ended" in line
    assert len(hashed) == 2
