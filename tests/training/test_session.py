"""A run on disk: recorded, resumed or refused, and ended exactly once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file

from resnet_cifar import events
from resnet_cifar.data.dataset import official_splits
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.engine.evaluate import test as run_test
from resnet_cifar.errors import UserError
from resnet_cifar.model.calibration import Calibration
from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.model.tensors import read_tensors, write_tensors
from resnet_cifar.model.unknown import read_unknown
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import runs_in
from resnet_cifar.training.preflight import check
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe, result, staged_recipe
from tests.training.same import finish


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
