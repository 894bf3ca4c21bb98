import json
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.errors import UserError
from resnet_cifar.events import EpochEnded, Metrics, RunStarted, StageStarted, StepLogged
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.config import EVERYTHING, HEAD, Stage
from resnet_cifar.report import figures
from resnet_cifar.report.series import XAxis, as_csv, visible_size
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import state
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe, stage, staged_recipe

STARTED = RunStarted(recipe="tiny", device="cpu", precision="bf16", data_dir=None)


def step(epoch: int, number: int, loss: float = 1.0) -> StepLogged:
    images = min(100, (number + 1) * 16)
    return StepLogged(stage=0, epoch=epoch, step=number, loss=loss, lr=0.1, images=images, images_per_second=50.0)


def epoch(number: int, top1: float, stage: int = 0) -> EpochEnded:
    val = Metrics(loss=1.0, top1=top1, top5=top1)
    return EpochEnded(
        stage=stage,
        epoch=number,
        lr=0.1,
        train_loss=1.0,
        train_top1=top1,
        val=val,
        ema_val=None,
        image_size=32,
        best=True,
    )


def started(run: RunDir) -> StageStarted:
    first = run.recipe().stages[0]
    return StageStarted(
        stage=0,
        name=first.name,
        epochs=first.epochs,
        steps=7,
        images=100,
        trainable=first.trainable,
        image_sizes=(32,),
        batch_size=16,
    )


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run", recipe())


def test_incremental_reading_equals_reading_everything(run: RunDir):
    """In whatever steps the file grows, including torn lines."""
    *_, last = train(run, device=CPU, data_dir=None)
    content = run.metrics_file.read_bytes()
    whole = Record(run).read().events
    assert isinstance(last, events.RunCompleted) and len(whole.epochs) == 2
    record = Record(run)
    for size in range(0, len(content) + 1, 97):
        run.metrics_file.write_bytes(content[:size])
        record.read()
    run.metrics_file.write_bytes(content)
    assert record.read().events == whole


def test_events_that_a_resume_truncates_are_removed(run: RunDir):
    for event in (STARTED, started(run), step(0, 2), step(0, 5, loss=9.0)):
        run.append(event)
    record = Record(run).read()
    assert [logged.loss for logged in record.events.steps] == [1.0, 9.0]
    lines = run.metrics_file.read_bytes().splitlines(keepends=True)
    run.cut(len(b"".join(lines[:3])))
    run.append(step(0, 5, loss=2.0))
    run.append(step(0, 6, loss=3.0))  # the file is longer than before, so its size alone cannot show the truncation
    assert [logged.loss for logged in record.read().events.steps] == [1.0, 2.0, 3.0]


def test_events_of_another_recipe_are_skipped(run: RunDir):
    for event in (STARTED, started(run), step(0, 2)):
        run.append(event)
    before = Record(run).read().events
    run.append(replace(step(0, 5), stage=3))
    run.append(replace(epoch(0, 0.5), stage=1))
    after = Record(run).read().events
    assert (after.steps, after.epochs) == (before.steps, before.epochs)
    assert state(Record(run)).stage == 1


def test_a_stage_whose_start_is_missing_is_rebuilt_from_the_recipe(run: RunDir):
    for event in (STARTED, started(run), step(0, 2), epoch(0, 0.25), step(1, 2)):
        run.append(event)
    whole = state(Record(run))
    run.cut(0)
    for event in (STARTED, step(0, 2), epoch(0, 0.25), step(1, 2)):
        run.append(event)
    record = Record(run).read()
    assert record.events.stages == [started(run)]
    assert replace(state(record), seconds=whole.seconds, updated=whole.updated) == whole


def test_an_event_of_a_long_run_costs_as_much_as_one_of_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The plan of all epochs is not gone through for each event."""
    looked: list[int] = []
    at = Stage.at
    monkeypatch.setattr(Stage, "at", lambda self, epoch: (looked.append(epoch), at(self, epoch))[1])
    run = RunDir.create(tmp_path / "long", recipe(stage(epochs=300)))
    for number in range(300):
        run.append(step(number, 2))
    assert len(Record(run).read().events.steps) == 300
    assert len(looked) < 10


def test_a_long_record_changes_visibly_only_now_and_then(tmp_path: Path):
    run = RunDir.create(tmp_path / "long", recipe(stage(epochs=1000)))
    record, sizes = Record(run), []
    with run.locked():
        for number in range(1000):
            for _ in range(2):
                run.append(step(number, 2))
            sizes.append(visible_size(record.read()))
            assert 0 <= record.size - sizes[-1] < record.size / 250
        assert len(set(sizes[:300])) == 300 and len(set(sizes[-300:])) < 150
        while visible_size(record.read()) == record.size:
            run.append(step(1000, 2))
    assert visible_size(record.read()) == record.size  # nothing is missing once it has ended, even if it was killed


def test_a_stage_that_starts_twice_counts_once(run: RunDir):
    for event in (STARTED, started(run), started(run), step(0, 2), epoch(0, 0.25)):
        run.append(event)
    record = Record(run).read()
    assert list(XAxis(record, "step").stages()) == [("everything", 0, 7)]


EDITED: dict[str, list[object]] = {
    "stage": [0.0, "0", None, True, [0]],
    "epoch": [None, "1", 0.5, -1, 2, 10**400],
    "step": [None, "1", 0.5, -1, 10**30],
    "loss": ["low", [1], True, 10**400],
    "images": [None, "all", 0],
    "lr": [None, -1, 1e300],
    "images_per_second": ["fast"],
    "time": ["now", None, [], float("nan")],
}


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in EDITED.items() for value in values])
def test_a_line_with_a_value_of_the_wrong_type_is_skipped(run: RunDir, field: str, value: object):
    for event in (STARTED, started(run), step(0, 2)):
        run.append(event)
    before = state(Record(run))
    line = json.loads(events.to_json(step(0, 5, loss=9.0), 1e9)) | {field: value}
    with open(run.metrics_file, "a") as metrics:
        metrics.write(json.dumps(line) + "\n")
    record = Record(run).read()
    assert state(record) == before
    assert as_csv([record]).count("\n") == 2
    figures.figure([record])


def test_the_event_after_a_torn_line_is_read(run: RunDir):
    run.append(STARTED)
    with open(run.metrics_file, "ab") as metrics:
        metrics.write(b'{"event": "StepLo')
    run.append(events.RunFailed(reason="the disk is full", user_error=True))
    assert Record(run).read().events.last == events.RunFailed(reason="the disk is full", user_error=True)
    assert run.status() == "failed"


def test_a_resumed_run_does_not_show_why_it_failed_before(run: RunDir):
    for event in (STARTED, started(run), step(0, 2), epoch(0, 0.2), events.RunFailed(reason="full", user_error=True)):
        run.append(event)
    with run.locked(pid=os.getpid()):
        now = state(Record(run))
    assert (now.status, now.reason, now.seconds_left) == ("running", None, None)
    assert state(Record(run)).reason == "full"


def test_part_done_grows_from_0_to_1(tmp_path: Path):
    run = RunDir.create(tmp_path / "run", staged_recipe())
    record, parts = Record(run), []
    for _ in train(run, device=CPU, data_dir=None):
        parts.append(record.read().part_done())
    assert parts == sorted(parts) and parts[0] == 0 and parts[-1] == 1
    assert max(after - before for before, after in pairwise(parts[:-1])) < 0.2


def test_the_time_left_follows_from_the_speed_so_far(run: RunDir, monkeypatch: pytest.MonkeyPatch):
    clock = 1000.0
    monkeypatch.setattr("resnet_cifar.runs.run_dir.time.time", lambda: clock)
    for event in (STARTED, started(run), step(0, 0)):
        run.append(event)
    assert state(Record(run)).seconds_left is None  # one event is not enough for a speed
    clock += 10
    run.append(epoch(0, 0.1))
    with run.locked():
        left = state(Record(run)).seconds_left
    one_epoch = cost.epoch_macs(run.recipe(), run.recipe().stages[0])
    pace = one_epoch * (1 - 16 / 100) / 10
    assert left == pytest.approx((one_epoch + cost.testing_macs(run.recipe())) / pace)


def test_the_state_of_a_running_and_of_a_failed_run(run: RunDir):
    for event in (STARTED, started(run), step(0, 2), epoch(0, 0.25), step(1, 2, loss=0.5)):
        run.append(event)
    with run.locked():
        now = state(Record(run))
    assert (now.status, now.stage, now.stages, now.epoch, now.epochs) == ("running", 1, 1, 2, 2)
    assert (now.loss, now.images_per_second, now.val_top1, now.best_val_top1) == (0.5, 50.0, 0.25, 0.25)
    assert now.test is None and now.as_json()["status"] == "running"
    run.append(events.RunFailed(reason="the disk is full", user_error=True))
    now = state(Record(run))
    assert (now.status, now.reason, now.epoch) == ("failed", "the disk is full", 2)


def test_runs_are_listed_newest_first_and_a_broken_one_is_refused(tmp_path: Path):
    for age, name in enumerate(("new", "old")):
        file = RunDir.create(tmp_path / name, recipe()).recipe_file
        os.utime(file, (1e9 - age, 1e9 - age))
    (tmp_path / "nothing").mkdir()
    records = Records(tmp_path)
    assert records.names() == ["new", "old"]
    assert records.get("new") is records.get("new")
    for name in ("nothing", "../old", ""):
        with pytest.raises(UserError, match="there is no run"):
            records.get(name)
    (tmp_path / "old" / "recipe.json").write_text("{}")
    with pytest.raises(UserError, match="recipe.json can't be used"):
        records.get("old")


def test_costs_match_published_values():
    """ResNet-34, norms included: 1.164 GMAC at 32 px with the CIFAR stem; 1.20 at 128 and 3.68 at 224 px without."""
    for stem, size, known in (("cifar", 32, 1.164e9), ("stock", 128, 1.2e9), ("stock", 224, 3.68e9)):
        assert sum(cost.forward_macs("resnet34", stem, size, 100).values()) == pytest.approx(known, rel=0.01)


def test_the_cost_of_a_step_depends_on_what_is_trainable():
    everything, head = (
        cost.step_macs(recipe(), stage(trainable=trainable, views=0)) for trainable in (EVERYTHING, HEAD)
    )
    forward = sum(cost.forward_macs(recipe().arch, "stock", 32, 100).values())
    assert everything == 3 * forward
    assert forward < head < 1.05 * forward


def test_a_stopped_run_is_in_the_epoch_in_which_it_was_stopped(run: RunDir):
    with run.locked():
        for event in (STARTED, started(run), step(0, 2)):
            run.append(event)
        assert state(Record(run)).epoch == 1
    run.append(events.RunStopped(by="SIGTERM"))
    assert state(Record(run)).epoch == 1
    for ended in (epoch(0, 0.5), epoch(1, 0.5), events.StageEnded(stage=0, name="", epochs=2, best_top1=0.5)):
        run.append(ended)
    assert state(Record(run)).epoch == 2


def test_the_speed_of_an_ended_run_is_that_of_all_its_epochs(tmp_path: Path):
    """Not of its last seconds, and not of epochs on cached features."""
    run = RunDir.create(tmp_path / "run", recipe(stage(trainable=HEAD), stage()))
    ended = [
        replace(epoch(0, 0.5, stage=one), seconds=2.0, images_per_second=speed) for one, speed in ((0, 9e5), (1, 50.0))
    ]
    for event in (STARTED, ended[0], ended[1], replace(ended[1], epoch=1, seconds=1.0, images_per_second=200.0)):
        run.append(event)
    run.append(replace(step(1, 5), stage=1, images_per_second=999.0))
    with run.locked():
        assert state(Record(run)).images_per_second == 999.0
    run.append(events.RunStopped(by="SIGTERM"))
    assert state(Record(run)).images_per_second == pytest.approx(100.0)
