"""The status of a run on the Train tab, called as plain functions."""

from pathlib import Path

import gradio as gr

from resnet_cifar.events import Progress, RunStarted, RunStopped
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import state
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.queue import Queue
from resnet_cifar.ui.page import header
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.bar import LATEST
from resnet_cifar.ui.train.live import live_card
from resnet_cifar.ui.train.tab import Watch, selected
from tests.builders import CPU, recipe, stage, told

MAY, MAY_NOT = Rights(), Rights("not today")


def test_a_running_run_is_shown_before_a_newer_one(records: Records):
    launcher = Launcher(records.root, CPU)
    queue = Queue(launcher)
    assert shown(records) == "other"  # active last
    with RunDir(records.root / "one").locked():
        assert shown(records) == "one"
        card, curves, stop, resume, *_ = Watch(records, launcher, queue, MAY).answer(LATEST, None)
        assert "running" in card and stop["visible"] and not resume["visible"] and "Loss" in curves
    card, _, stop, resume, log, _, seen = Watch(records, launcher, queue, MAY).answer(LATEST, None)
    assert not stop["visible"] and resume["visible"] and "started in a terminal" in log
    assert Watch(records, launcher, queue, MAY).answer(LATEST, seen) == [gr.skip()] * 7
    assert not Watch(records, launcher, queue, MAY_NOT).answer(LATEST, None)[3]["visible"]
    assert "No runs yet" in Watch(Records(records.root / "empty"), launcher, queue, MAY).answer(LATEST, None)[0]


def shown(records: Records) -> str:
    record = selected(records, LATEST)
    assert record is not None
    return record.run.name


def card(run: RunDir, **options) -> str:
    record = Record(run).read()
    return live_card(state(record), record.recipe, False, **options)


def test_an_ended_run_keeps_the_number_of_its_epoch(tmp_path: Path):
    run = RunDir.create(tmp_path / "run", recipe(stage(epochs=3)))
    run.append(RunStarted(recipe="tiny", device="cpu", precision="fp32", data_dir=None))
    with run.locked():
        assert "<small>epoch 1 of 3</small>" in card(run)
    run.append(RunStopped(by="SIGTERM"))
    assert "<small>stopped in epoch 1 of 3</small>" in card(run)


def test_the_card_of_a_queued_run_and_of_its_queue(tmp_path: Path):
    run = RunDir.create(tmp_path / "run", recipe())
    run.queued_file.write_text("{}")
    assert "as long as this page is served" in card(run) and "queued" in card(run)
    assert "Remove" in card(run, waiting=["<run>"], change=True) and "<run>" not in card(run, waiting=["<run>"])
    assert "Remove" not in card(run, waiting=["<run>"])


def test_the_card_says_where_the_data_comes_from(tmp_path: Path):
    run = RunDir.create(tmp_path / "run", recipe())
    run.append(RunStarted(recipe="tiny", device="cpu", precision="fp32", data_dir=None))
    with run.locked():
        for phase, words in (("download", "downloading<"), ("download from the Hub", "from the Hugging Face Hub<")):
            run.append(Progress(phase=phase, done=1, total=2))
            assert words in card(run)


def test_text_from_files_is_escaped(tmp_path: Path):
    folder = told(tmp_path / "run", recipe()).run.path.rename(tmp_path / "<b>run")  # such a name is not made here
    assert "<b>run" not in card(RunDir(folder)) and "&lt;b&gt;run" in card(RunDir(folder))
    assert "<i>" not in header("a device", "<i>model")
