from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.cli import main as cli
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.reporters import REPORTERS, Reporter, reporter
from resnet_cifar.training.session import train
from tests.builders import CPU, of_kind, recipe, stage, staged_recipe


def follow(run: RunDir, name: str, stop_after: type | None = None) -> list[events.Event]:
    """Train a run, or go on with it, and report it."""
    consumer, said = reporter(name, run), []
    for event in train(run, device=CPU, data_dir=None):
        consumer.show(event)
        said.append(event)
        if stop_after is not None and isinstance(event, stop_after):
            run.stop_file.touch()
    return said


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder)).Reload()
    return {name: [(point.step, point.value) for point in read.Scalars(name)] for name in read.Tags()["scalars"]}


@pytest.mark.slow
def test_tensorboard_gets_every_point_at_its_step_over_stages_and_a_resume(tmp_path: Path):
    run = RunDir.create(tmp_path / "run", staged_recipe())
    said = follow(run, "tensorboard", stop_after=events.StageEnded) + follow(run, "tensorboard")
    found = scalars(run.path / "tensorboard")
    losses = [event.loss for event in of_kind(events.StepLogged, said)]
    assert [value for _, value in found["train/loss"]] == pytest.approx(losses)
    steps = [step for step, _ in found["train/loss"]]
    assert steps == sorted(set(steps)) and steps[-1] == 7 * (2 + 1 + 2)
    tops = [event.val.top1 for event in of_kind(events.EpochEnded, said)]
    assert [value for _, value in found["val/top1"]] == pytest.approx(tops)
    assert [step for step, _ in found["val/top1"]] == [7, 14, 21, 28, 35]
    assert found["test/top1"][0][1] == pytest.approx(said[-1].test.top1)


@pytest.mark.slow
def test_trackio_gets_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    run = RunDir.create(tmp_path / "run", recipe())
    said = follow(run, "trackio")
    assert isinstance(said[-1], events.RunCompleted)
    assert list((tmp_path / "trackio").glob("resnet_cifar*"))


def test_a_tool_that_fails_does_not_fail_the_run(tmp_path: Path):
    class Broken:
        def log(self, values: dict[str, float], step: int) -> None:
            raise OSError("the disk is full")

        def close(self) -> None:
            raise AssertionError("not after it failed")

    run = RunDir.create(tmp_path / "run", recipe(stage(epochs=1)))
    consumer = Reporter("broken", Broken(), iter(()))
    with pytest.warns(UserWarning, match="goes on: the disk is full") as caught:
        for event in train(run, device=CPU, data_dir=None):
            consumer.show(event)
    assert isinstance(event, events.RunCompleted) and len(caught) == 1


def test_a_tool_that_is_not_installed_is_named_before_there_is_a_folder(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr("resnet_cifar.training.reporters.find_spec", lambda _: None)
    for name in REPORTERS:
        flags = f"--train-only --recipe quick --data synthetic --run {tmp_path / 'run'} --report-to {name}"
        assert cli.main(flags.split()) == 2
        assert f"needs a package: pip install {name}." in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
