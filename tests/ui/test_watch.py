"""The status of a run on the Train tab, called as plain functions."""

from pathlib import Path

import gradio as gr

from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import state
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.ui.page import header
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.live import live_card
from resnet_cifar.ui.train.tab import LATEST, selected, watch
from tests.builders import CPU, recipe, told

MAY, MAY_NOT = Rights(), Rights("not today")


def test_a_running_run_is_shown_before_a_newer_one(records: Records):
    launcher = Launcher(records.root, CPU)
    assert selected(records, LATEST).run.name == "other"  # active last
    with RunDir(records.root / "one").locked():
        assert selected(records, LATEST).run.name == "one"
        card, stop, resume, *_ = watch(records, launcher, MAY, LATEST, None)
        assert "running" in card and stop["visible"] and not resume["visible"]
    card, stop, resume, log, seen = watch(records, launcher, MAY, LATEST, None)
    assert not stop["visible"] and resume["visible"] and "started in a terminal" in log
    assert watch(records, launcher, MAY, LATEST, seen)[:4] == (gr.skip(),) * 4
    assert not watch(records, launcher, MAY_NOT, LATEST, None)[2]["visible"]
    assert "No runs yet" in watch(Records(records.root / "empty"), launcher, MAY, LATEST, None)[0]


def test_text_from_files_is_escaped(tmp_path: Path):
    record = told(tmp_path / "<b>run", recipe())
    card = live_card(state(record), record.recipe, False)
    assert "<b>run" not in card and "&lt;b&gt;run" in card
    assert "<i>" not in header("a device", "<i>model")
