import json
import math

import pytest

from resnet_cifar import events

VAL = events.Metrics(loss=2.5, top1=0.25, top5=0.5)
EVENTS: list[events.Event] = [
    events.RunStarted(recipe="quick", device="cpu", precision="bf16", data_dir=None),
    events.RunResumed(stage=1, epoch=2, step=3, device="cpu", precision="fp32", data_dir="/data"),
    events.Progress(phase="features", done=1, total=2),
    events.StageStarted(
        stage=0, name="head", epochs=1, steps=2, images=3, trainable=("fc",), image_sizes=(32,), batch_size=4
    ),
    events.BatchSplit(stage=0, epoch=0, step=0, micro_batches=2),
    events.StepLogged(stage=0, epoch=0, step=0, loss=0.1, lr=0.1, images=4),
    events.EpochEnded(
        stage=0, epoch=0, lr=0.1, train_loss=1 / 3, train_top1=0.1, val=VAL, ema_val=None, best=True, image_size=32
    ),
    events.StageEnded(stage=0, name="head", epochs=1, best_top1=0.1),
    events.RunCompleted(test=VAL, coarse_top1=0.5),
    events.RunStopped(by="SIGINT"),
    events.RunFailed(reason="no room", user_error=True),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_its_line(event: events.Event):
    line = events.to_json(event, 12.5)
    assert "\n" not in line
    assert events.from_json(line) == (event, 12.5)


def test_every_kind_is_tested_here():
    assert {type(event) for event in EVENTS} == set(events.Event.__args__)


@pytest.mark.parametrize("line", ["", "{", '{"event": "RunSto', "[1]", '{"event": "Party", "time": 1}', "null"])
def test_a_torn_or_foreign_line_is_no_event(line: str):
    with pytest.raises(ValueError):
        events.from_json(line)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_null_and_reads_back_as_nan(loss: float):
    val = events.Metrics(loss=loss, top1=0.25, top5=0.5)
    line = events.to_json(events.RunCompleted(test=val, coarse_top1=0.5, seconds=loss), 12.5)
    assert json.loads(line, parse_constant=refuse)["test"] == {"loss": None, "top1": 0.25, "top5": 0.5}
    event, _ = events.from_json(line)
    assert isinstance(event, events.RunCompleted) and math.isnan(event.test.loss)
    assert (event.test.top1, event.seconds) == (0.25, None)  # null in an optional field is None


def test_lines_of_earlier_versions_with_nan_in_them_still_read():
    line = events.to_json(events.RunCompleted(test=VAL, coarse_top1=0.5), 12.5).replace('"loss": 2.5', '"loss": NaN')
    event, _ = events.from_json(line)
    assert isinstance(event, events.RunCompleted) and math.isnan(event.test.loss)
