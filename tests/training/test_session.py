"""A run on disk: recorded, stopped, killed, resumed, and ended exactly once."""

import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from resnet_cifar import events
from resnet_cifar.data import cifar100
from resnet_cifar.data.dataset import official_splits
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.engine.evaluate import test as run_test
from resnet_cifar.errors import UserError
from resnet_cifar.model.calibration import Calibration
from resnet_cifar.model.checkpoint import CONFIG, MODEL, load_checkpoint
from resnet_cifar.model.tensors import read_tensors, write_tensors
from resnet_cifar.model.unknown import read_unknown
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import runs_in
from resnet_cifar.training.preflight import check
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe, result, staged_recipe, start, within
from tests.data.conftest import Stalled, serve  # noqa: F401

SAVE_OFTEN = """
import sys, torch
from pathlib import Path
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.session import train
for event in train(RunDir(Path(sys.argv[1])), device=torch.device("cpu"), data_dir=None, save_every=float(sys.argv[2])):
    print(type(event).__name__, flush=True)
"""


def finish(run: RunDir, **options) -> list[events.Event]:
    return list(train(run, device=CPU, data_dir=None, **options))


def learnt(run: RunDir) -> list[str]:
    """What a run says of what it learnt: its lines less times and memory, which differ between processes."""
    lines = []
    for event, _ in run.history():
        if not isinstance(event, events.RunResumed | events.RunStopped | events.Progress):
            fields = json.loads(events.to_json(event, 0))
            measured = ("seconds", "images_per_second", "memory")
            lines.append(json.dumps({k: v for k, v in fields.items() if k not in measured}))
    return lines


def assert_same_run(one: RunDir, other: RunDir) -> None:
    assert learnt(one) == learnt(other)
    weights, others = load_file(one.path / MODEL), load_file(other.path / MODEL)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert one.eval_file.read_text() == other.eval_file.read_text()
    assert (one.path / CONFIG).read_text() == (other.path / CONFIG).read_text()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = RunDir.create(tmp_path_factory.mktemp("runs") / "straight", staged_recipe(train_images=200))
    finish(run)
    return run


@pytest.mark.slow
def test_a_completed_run_leaves_what_a_checkpoint_is_made_of(uninterrupted: RunDir):
    assert uninterrupted.status() == "completed"
    files = {file.name for file in uninterrupted.path.iterdir()}
    assert files == {
        ".lock",
        "config.json",
        "eval.json",
        "metrics.jsonl",
        "model.safetensors",
        "notes.json",
        "recipe.json",
        "unknown.safetensors",
    }
    last = uninterrupted.last_event()
    assert isinstance(last, events.RunCompleted)
    told = json.loads(uninterrupted.eval_file.read_text())
    assert (told["top1"], told["top5"], told["loss"]) == (last.test.top1, last.test.top5, last.test.loss)
    assert sum(told["per_class_top1"].values()) / 100 == pytest.approx(last.test.top1)
    assert told["images"] == 1000


@pytest.mark.slow
def test_the_checkpoint_tests_as_the_run_said(uninterrupted: RunDir):
    model, config = load_checkpoint(uninterrupted.path, CPU)
    _, split = result(official_splits("synthetic", None))
    precision = next(e for e, _ in uninterrupted.history() if isinstance(e, events.RunStarted)).precision
    preprocess = Preprocess(config.image_size, config.normalization, CPU)
    autocast = runs_in(CPU, precision)
    summary = result(run_test(model, split, preprocess, autocast, calibration=config.calibration))
    assert config.calibration != Calibration() and read_unknown(uninterrupted.path) is not None
    assert summary == json.loads(uninterrupted.eval_file.read_text())


def test_every_epoch_has_its_line_and_its_times(uninterrupted: RunDir):
    ended = [event for event, _ in uninterrupted.history() if isinstance(event, events.EpochEnded)]
    assert [(event.stage, event.epoch) for event in ended] == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]
    assert all(event.seconds > 0 and event.images_per_second > 0 for event in ended)
    times = [time for _, time in uninterrupted.history()]
    assert times == sorted(times)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["features", "train", "evaluate", "test"])
def test_a_stop_is_heeded_in_every_phase_and_nothing_is_lost(uninterrupted, new_run, phase: str):
    run = new_run(staged_recipe(train_images=200), phase)
    said, asked = [], 0.0
    for event in train(run, device=CPU, data_dir=None):
        said.append(event)
        if isinstance(event, events.Progress) and event.phase == phase and not asked:
            run.stop_file.touch()
            asked = time.monotonic()
    assert said[-1] == events.RunStopped(by="stop file")
    assert time.monotonic() - asked < within(2)
    assert said[-2].phase == phase
    assert run.status() == "stopped" and not run.stop_file.exists()
    rest = finish(run)
    assert rest[0].step > 0 if phase in ("train", "evaluate") else rest[0].stage == (0 if phase == "features" else 3)
    assert isinstance(rest[-1], events.RunCompleted)
    assert_same_run(run, uninterrupted)


def test_a_stop_is_heeded_while_a_download_stalls(serve, new_run, tmp_path, monkeypatch):  # noqa: F811
    serve(Stalled)
    monkeypatch.setattr(cifar100, "download", partial(cifar100.download, tmp_path / "data"))
    run = new_run(recipe(data="cifar100"))
    asked = 0.0
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, events.Progress) and not asked:
            run.stop_file.touch()
            asked = time.monotonic()
    assert event == events.RunStopped(by="stop file")
    assert time.monotonic() - asked < within(2)
    assert run.status() == "stopped"


@pytest.mark.process
def test_killed_at_random_three_times_a_run_ends_the_same(uninterrupted: RunDir, new_run: Callable[..., RunDir]):
    """Three Python processes, one after the other: about 10 s."""
    run = new_run(staged_recipe(train_images=200))
    draw = random.Random(7)
    for _ in range(3):
        child = start("-c", SAVE_OFTEN, run.path, draw.choice((0, 0.3)))
        assert child.stdout is not None
        for _ in range(draw.randint(1, 20)):
            if not child.stdout.readline():
                break
        time.sleep(draw.random() * 0.3)
        assert child.poll() is None, "the run ended before it could be killed"
        child.kill()
        child.communicate()
        assert run.status() == "interrupted"
    assert isinstance(finish(run)[-1], events.RunCompleted)
    assert_same_run(run, uninterrupted)
    assert not list(run.path.glob(".tmp*"))


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [events.RunStarted, events.StepLogged])
def test_a_run_that_was_killed_before_it_saved_a_step_begins_again(new_run: Callable[..., RunDir], killed_at: type):
    run = new_run(recipe())
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, killed_at):
            break
    with open(run.metrics_file, "a") as metrics:
        metrics.write('{"event": "EpochEn')
    assert run.status() == "interrupted" and run.last_file.exists() is (killed_at is events.StepLogged)
    said = finish(run)
    assert isinstance(said[0], events.RunStarted if killed_at is events.RunStarted else events.RunResumed)
    assert isinstance(said[-1], events.RunCompleted)
    assert next((e.epoch, e.step) for e, _ in run.history() if isinstance(e, events.StepLogged)) == (0, 2)
    assert len([e for e, _ in run.history() if isinstance(e, events.RunStarted)]) == 1


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = RunDir.create(tmp_path_factory.mktemp("runs") / "stopped", recipe())
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, events.EpochEnded):
            run.stop_file.touch()
    return run


def without(key: str) -> Callable[[RunDir], object]:
    def harm(run: RunDir) -> None:
        tensors, header = read_tensors(run.last_file)
        facts = {name: value for name, value in json.loads(header["resume"]).items() if name != key}
        write_tensors(run.last_file, tensors, {"resume": json.dumps(facts)})

    return harm


def one_digit(run: RunDir) -> None:
    """Another place to go on from, which no checksum of the tensors covers."""
    content = run.last_file.read_bytes()
    assert content.count(b'\\"epoch\\": 1') == 1
    run.last_file.write_bytes(content.replace(b'\\"epoch\\": 1', b'\\"epoch\\": 0'))


def no_header(run: RunDir) -> None:
    save_file(read_tensors(run.last_file)[0], run.last_file)


UNRESUMABLE: dict[str, tuple[Callable[[RunDir], object], str]] = {
    "lost": (lambda run: run.last_file.unlink(), "has trained, but its last.safetensors is missing"),
    "one digit": (one_digit, "header does not match the sha256"),
    "no header": (no_header, "is not JSON"),
    "no position": (without("position"), "the field 'position' is missing"),
    "no record": (lambda run: run.metrics_file.unlink(), "metrics.jsonl is not what it was"),
    "an empty record": (lambda run: run.metrics_file.write_bytes(b""), "metrics.jsonl is not what it was"),
    "a shorter record": (lambda run: run.cut(run.metrics_file.stat().st_size // 2), "metrics.jsonl is not what it was"),
    "another recipe": (
        lambda run: run.recipe_file.write_text(recipe(stem="cifar").to_json()),
        "model does not fit this network: conv1.weight",
    ),
}


@pytest.mark.parametrize("name", UNRESUMABLE)
def test_a_run_that_cannot_be_resumed_says_so_twice_and_keeps_its_record(stopped: RunDir, tmp_path: Path, name: str):
    run = RunDir(Path(shutil.copytree(stopped.path, tmp_path / "run")))
    harm, told = UNRESUMABLE[name]
    harm(run)
    before = {file.name: file.read_bytes() for file in run.path.iterdir() if file.name != ".lock"}
    for _ in range(2):  # the second time, the record ends with the first refusal
        said = finish(run)
        assert len(said) == 1 and isinstance(said[0], events.RunFailed) and said[0].user_error
        assert told in said[0].reason and "start a new run with --recipe" in said[0].reason
    after = {file.name: file.read_bytes() for file in run.path.iterdir()}
    for file, content in before.items():
        assert after[file].startswith(content) if file == "metrics.jsonl" else after[file] == content


def test_one_run_at_a_time_trains_on_a_device(new_run: Callable[..., RunDir]):
    first, second = new_run(recipe(), "first"), new_run(recipe(), "second")
    at_work = train(first, device=CPU, data_dir=None)
    next(at_work)
    with pytest.raises(UserError, match="busy with run '.*/first'"):
        next(train(second, device=CPU, data_dir=None))
    with pytest.raises(UserError, match="busy with run '.*/first'"):
        check(recipe(), None, CPU)
    at_work.close()
    assert first.status() == "interrupted"
    assert not second.metrics_file.exists()
    next(train(second, device=CPU, data_dir=None))


def test_a_run_is_trained_by_one_process_alone(new_run: Callable[..., RunDir]):
    run = new_run(recipe())
    with run.locked(), pytest.raises(UserError, match="another process"):
        next(train(run, device=CPU, data_dir=None))
    next(train(run, device=CPU, data_dir=None))


def test_a_damaged_state_is_refused_and_left_alone(new_run: Callable[..., RunDir]):
    run = new_run(recipe())
    for event in train(run, device=CPU, data_dir=None, save_every=0):
        if isinstance(event, events.EpochEnded):
            run.stop_file.touch()
    content = bytearray(run.last_file.read_bytes())
    content[-5] ^= 1
    run.last_file.write_bytes(content)
    before = run.metrics_file.read_text()
    said = finish(run)
    assert isinstance(said[-1], events.RunFailed) and "sha256" in said[-1].reason and said[-1].user_error
    assert run.metrics_file.read_text().startswith(before)
    assert run.last_file.read_bytes() == content


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_training_saves_and_ends(uninterrupted, new_run, number: signal.Signals):
    """Starts a Python process and finishes its run: about 8 s."""
    run = new_run(staged_recipe(train_images=200), number.name)
    child = start("-c", SAVE_OFTEN, run.path, 60)
    assert child.stdout is not None
    while child.stdout.readline() != "StepLogged\n":
        pass
    child.send_signal(number)
    asked = time.monotonic()
    out, _ = child.communicate(timeout=20)
    assert out.splitlines()[-1] == "RunStopped" and "Traceback" not in out
    assert time.monotonic() - asked < within(3)  # 2 to be there, and 1 for Python to end
    assert run.last_event() == events.RunStopped(by=number.name)
    finish(run)
    assert_same_run(run, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("every,phases", [(0, {"features", "train", "evaluate", "test"}), (1e9, set())])
def test_progress_is_written_down_where_nothing_else_is_said_for_long(new_run, monkeypatch, every: float, phases: set):
    monkeypatch.setattr("resnet_cifar.training.session._PROGRESS_EVERY", every)
    run = new_run(staged_recipe(train_images=200))
    finish(run)
    assert {event.phase for event, _ in run.history() if isinstance(event, events.Progress)} == phases


@pytest.mark.slow
def test_a_completed_run_is_never_trained_again(uninterrupted: RunDir):
    before = {file: file.read_bytes() for file in uninterrupted.path.iterdir()}
    with pytest.raises(UserError, match="is completed"):
        finish(uninterrupted)
    assert {file: file.read_bytes() for file in uninterrupted.path.iterdir()} == before


def test_times_add_up_over_a_stop(new_run: Callable[..., RunDir]):
    run = new_run(recipe())
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, events.StepLogged) and event.step == 5:
            run.stop_file.touch()
            assert event.images_per_second > 0
    time.sleep(0.3)
    said = finish(run)
    first = next(event for event in said if isinstance(event, events.EpochEnded))
    second = [event for event in said if isinstance(event, events.EpochEnded)][1]
    assert first.seconds > second.seconds / 4  # a single step of seven was left, but all of them count
    assert first.images_per_second < 4 * second.images_per_second


def test_a_stop_file_that_cannot_be_removed_ends_in_a_sentence(new_run: Callable[..., RunDir]):
    """As on a disk that has become read-only."""
    run = new_run(recipe())
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, events.StepLogged) and not run.stop_file.exists():
            run.stop_file.mkdir()
    assert event == events.RunStopped(by="stop file") and run.status() == "stopped"
    with pytest.raises(UserError, match="cannot remove .*stop, which asks the run to stop"):
        next(train(run, device=CPU, data_dir=None))
