import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_cifar.events import EpochEnded, Event, RunResumed, to_json
from resnet_cifar.report import figures
from resnet_cifar.report.series import POINTS, XAxis, as_csv, smooth, thin
from resnet_cifar.report.static_figure import sketch
from resnet_cifar.report.styles import PALETTE, colour_of
from resnet_cifar.runs.notes import COLOURS
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import recipe, stage, staged_recipe, told


def lines(chart) -> dict[str, Any]:
    return {line.meta: line for line in chart.data if line.meta}


@pytest.mark.slow
def test_the_figure_of_a_long_run_is_small(tmp_path: Path):
    """Writes and reads 200 epochs and 20,000 steps: about 3 s."""
    long = told(tmp_path / "long", recipe(stage(epochs=200, ema_decay=0.9)), steps=100)
    assert len(long.events.steps) == 20_000
    for by in ("step", "epoch"):
        assert len(figures.figure([long], by, smoothing=0.9).to_json(remove_uids=False)) <= 200_000


def test_thinning_keeps_every_peak_and_both_ends():
    rng = np.random.default_rng(0)
    y = rng.normal(size=20_000)
    y[12_345], y[54] = 100, -100
    x, thinned = thin(np.arange(20_000), y)
    assert len(x) <= POINTS
    assert {0, 54, 12_345, 19_999} <= set(x.tolist()) and (np.diff(x) > 0).all()
    assert (y[x] == thinned).all()
    assert thin(x[:7], y[:7])[0] is not None and len(thin(x[:7], y[:7])[0]) == 7


def test_smoothing_is_unbiased_and_keeps_constants():
    assert smooth(np.full(50, 3.0), 0.9) == pytest.approx(np.full(50, 3.0))
    assert smooth(np.array([1.0, 3.0]), 0.5) == pytest.approx([1.0, (0.25 * 1 + 0.5 * 3) / 0.75])


def test_stages_are_consecutive_bands(tmp_path: Path):
    record = told(tmp_path / "run", staged_recipe())
    assert list(XAxis(record, "step").stages()) == [("head", 0, 8), ("top", 8, 12), ("everything", 12, 20)]
    assert list(XAxis(record, "epoch").stages()) == [("head", 0, 2), ("top", 2, 3), ("everything", 3, 5)]
    shapes = figures.figure([record]).layout.shapes
    assert [shape.label.text for shape in shapes if shape.xref == "x"] == ["head", "top", "everything"]


def test_positions_of_events_increase_over_all_stages(tmp_path: Path):
    record = told(tmp_path / "run", staged_recipe())
    axis = XAxis(record, "step")
    assert [axis.position(step) for step in record.events.steps] == list(range(1, 21))
    assert [axis.position(ended) for ended in record.events.epochs] == [4, 8, 12, 16, 20]
    assert [XAxis(record, "epoch").position(ended) for ended in record.events.epochs] == [1, 2, 3, 4, 5]


def test_the_curves_are_the_values_of_the_record(tmp_path: Path):
    record = told(tmp_path / "run", staged_recipe())
    found = lines(figures.figure([record]))
    assert found["run/train/1/"].y == pytest.approx([step.loss for step in record.events.steps])
    assert found["run/val/2/"].y == pytest.approx([ended.val.top1 for ended in record.events.epochs])
    assert found["run/val top-5/2/"].y == pytest.approx([ended.val.top5 for ended in record.events.epochs])
    assert list(found["run/EMA val/2/"].x) == [16, 20]  # only the last stage has an EMA
    best = found["run/best epoch/2/"]
    assert (best.x, best.y) == ((20,), (record.events.epochs[-1].val.top1,))
    assert "best" in best.text[0]
    by_epoch = lines(figures.figure([record], "epoch"))
    assert list(by_epoch["run/train/1/"].x) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("top1", "place"), [(0.5, "top left"), (0.65, "bottom left"), (0.8, "top left")])
def test_the_label_of_the_best_epoch_does_not_cover_the_tutorials_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top1: float, place: str
):
    record = told(tmp_path / "run", staged_recipe())
    monkeypatch.setattr(record, "best", lambda: (4, top1))
    assert lines(figures.figure([record]))["run/best epoch/2/"].textposition == place


def with_accuracy(record: Record, factor: float) -> Record:
    """Write the record again with all accuracies multiplied."""

    def changed(event: Event) -> Event:
        if not isinstance(event, EpochEnded) or event.val is None:
            return event
        val = replace(event.val, top1=factor * event.val.top1, top5=factor * event.val.top5)
        return replace(event, train_top1=factor * event.train_top1, val=val, ema_val=None)

    rewritten = [to_json(changed(event), time) + "\n" for event, time in record.run.history()]
    record.run.metrics_file.write_text("".join(rewritten))
    return Record(record.run).read()


def test_the_tutorials_result_is_explained_where_it_does_not_squeeze_the_curves(tmp_path: Path):
    good = told(tmp_path / "good", staged_recipe())
    (line,) = [shape for shape in figures.figure([good]).layout.shapes if shape.type == "line"]
    assert line.y0 == line.y1 == figures.TUTORIAL_TOP1
    assert line.label.text == "the original tutorial: 69.54 %"
    poor = with_accuracy(told(tmp_path / "poor", staged_recipe()), 0.2)
    chart = figures.figure([poor])
    assert not [shape for shape in chart.layout.shapes if shape.type == "line"]
    assert chart.layout.yaxis2.range[1] < 0.2
    assert [shape for shape in figures.figure([poor, good]).layout.shapes if shape.type == "line"]


def test_a_run_has_its_colour_whatever_else_is_shown(tmp_path: Path):
    one, other = (told(tmp_path / name, recipe()) for name in ("one", "other"))
    colours = {record.run.name: colour_of(record.run) for record in (one, other)}
    assert len(set(colours.values())) == 2
    for shown in ([one], [other], [one, other], [other, one]):
        for line in figures.figure(shown).data:
            if line.meta:
                assert (line.line.color or line.marker.color) == colours[line.meta.split("/")[0]]


def test_there_are_as_many_colours_as_notes_count():
    assert len(set(PALETTE)) == COLOURS


def test_a_key_says_what_each_style_means_for_one_run_and_for_many(tmp_path: Path):
    records = [told(tmp_path / name, recipe(stage(ema_decay=0.9))) for name in ("one", "other")]
    for shown in (records[:1], records):
        chart = figures.figure(shown)
        key = {line.name: line for line in chart.data if line.legend == "legend2"}
        assert list(key) == ["train", "val", "val top-5", "EMA val", "EMA val top-5", "best epoch"]
        for line in chart.data:
            if line.meta and (kind := line.meta.split("/")[1]) != "best epoch":
                assert (line.line.width, line.line.dash) == (key[kind].line.width, key[kind].line.dash)
    assert len({(line.line.width, line.line.dash) for line in key.values()}) == len(key)


def test_several_runs_share_a_figure_and_each_has_one_legend_entry(tmp_path: Path):
    records = [told(tmp_path / name, recipe()) for name in ("one", "other")]
    chart = figures.figure(records)
    drawn = [line for line in chart.data if line.meta]
    assert {line.legendgroup for line in drawn} == {"one", "other"}
    assert sum(bool(line.showlegend) for line in drawn) == 2
    assert len({line.uid for line in drawn}) == len(drawn)
    assert not [shape for shape in chart.layout.shapes if shape.type == "rect"]


def at_times(record: Record, times: Sequence[float]) -> Record:
    """Write the record again with the given times of its events."""
    events = [event for event, _ in record.run.history()]
    lines_ = (to_json(event, time) + "\n" for event, time in zip(events, times, strict=True))
    record.run.metrics_file.write_text("".join(lines_))
    return Record(record.run).read()


def test_the_x_axis_can_be_the_time_since_the_start_without_pauses(tmp_path: Path):
    record = told(tmp_path / "run", recipe(stage(epochs=2)), steps=2)
    record.run.append(RunResumed(stage=0, epoch=2, step=0, device="cpu", precision="bf16", data_dir=None))
    record.run.append(replace(record.events.steps[-1], step=2))
    record = at_times(record, [1e9 + second for second in (0, 10, 20, 30, 40, 50, 60, 70, 80, 9_000, 9_030)])
    assert record.events.step_seconds == [20, 30, 50, 60, 110] and record.events.epoch_seconds == [40, 70]
    chart = figures.figure([record], "time")
    assert list(lines(chart)["run/train/1/"].x) == [20, 30, 50, 60, 110]
    assert list(lines(chart)["run/val/2/"].x) == [40, 70] and chart.layout.xaxis.title.text == "seconds"
    assert list(XAxis(record, "time").stages()) == [("everything", 0, 110)]
    later = at_times(record, [1e9 + 100 * second for second in (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 93)])
    chart = figures.figure([later], "time")
    assert chart.layout.xaxis.title.text == "hours"
    assert lines(chart)["run/val/2/"].x == pytest.approx([4_000 / 3600, 7_000 / 3600])


def test_time_begins_with_the_first_event_if_the_start_is_torn(tmp_path: Path):
    record = told(tmp_path / "run", recipe(), steps=2)
    record.run.metrics_file.write_bytes(record.run.metrics_file.read_bytes().split(b"\n", 1)[1])
    assert max(Record(record.run).read().events.step_seconds) < 60


def test_the_loss_can_have_a_logarithmic_axis(tmp_path: Path):
    record = told(tmp_path / "run", recipe())
    plain, log = figures.figure([record]), figures.figure([record], log_loss=True)
    assert (plain.layout.yaxis.type, log.layout.yaxis.type, log.layout.yaxis2.type) == (None, "log", None)
    assert plain.layout.yaxis.uirevision != log.layout.yaxis.uirevision  # a zoom of one is nonsense in the other
    assert "Loss (log)" in log.layout.annotations[0].text


def test_a_figure_of_two_panels_has_no_others(tmp_path: Path):
    chart = figures.figure([told(tmp_path / "run", staged_recipe())], panels=figures.MAIN_PANELS)
    assert {line.yaxis or "y" for line in chart.data if line.meta} == {"y", "y2"}
    assert "yaxis3" not in chart.layout


def test_the_legend_shows_the_smoothed_line_and_not_the_raw_one(tmp_path: Path):
    found = lines(figures.figure([told(tmp_path / "run", recipe())], smoothing=0.5))
    assert found["run/train/1/raw"].opacity < 1 and not found["run/train/1/raw"].showlegend
    assert found["run/train/1/"].opacity is None and found["run/train/1/"].showlegend
    assert len(found["run/train/1/raw"].y) == len(found["run/train/1/"].y)


def test_zoom_is_kept_unless_the_unit_changes(tmp_path: Path):
    record = told(tmp_path / "run", recipe())
    by_step, by_epoch = figures.figure([record]), figures.figure([record], "epoch")
    assert by_step.layout.uirevision == by_epoch.layout.uirevision
    assert by_step.layout.xaxis.uirevision != by_epoch.layout.xaxis.uirevision


def test_a_run_without_events_draws_nothing(tmp_path: Path):
    empty = Record(RunDir.create(tmp_path / "run", recipe())).read()
    for by in ("step", "epoch", "time"):
        assert not figures.figure([empty], by, log_loss=True).data
    assert as_csv([empty]).count("\n") == 1


def with_torn_start(record: Record, stage: int) -> Record:
    """Read the record again after tearing the StageStarted line of a stage."""
    file = record.run.metrics_file
    lines = file.read_bytes().splitlines(keepends=True)
    begins = b'{"event": "StageStarted"'
    (torn,) = [line for line in lines if line.startswith(begins) and b'"stage": %d,' % stage in line]
    file.write_bytes(b"".join(line[:40] + b"\n" if line is torn else line for line in lines))
    return Record(record.run).read()


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_torn_stage_started_line_leaves_the_curves_as_they_were(tmp_path: Path, stage: int):
    """100 images in batches of 16 are 7 steps per epoch, by the recipe as well as by the record."""
    whole = told(tmp_path / "run", staged_recipe(), steps=7)
    before = as_csv([whole]), list(XAxis(whole, "step").stages()), figures.figure([whole]).to_json()
    torn = with_torn_start(whole, stage)
    assert (as_csv([torn]), list(XAxis(torn, "step").stages()), figures.figure([torn]).to_json()) == before
    for by in ("step", "epoch", "time"):
        figures.figure([torn, torn], by, smoothing=0.5)
    sketch(torn)


def test_a_val_loss_that_is_not_finite_is_left_out_and_the_rest_is_drawn(tmp_path: Path):
    record = told(tmp_path / "run", recipe(stage(epochs=3, ema_decay=0.9)))
    losses = iter((math.nan, 2.0, math.inf))

    def changed(event: Event) -> Event:
        if not isinstance(event, EpochEnded) or event.val is None:
            return event
        val = replace(event.val, loss=next(losses))
        return replace(event, val=val, ema_val=val)

    lines_ = [to_json(changed(event), time) + "\n" for event, time in record.run.history()]
    record.run.metrics_file.write_text("".join(lines_))
    record = Record(record.run).read()
    found = lines(figures.figure([record]))
    for kind in ("val", "EMA val"):
        assert list(found[f"run/{kind}/1/"].y) == [2.0] and len(found[f"run/{kind}/2/"].y) == 3
    sketch(record)


def test_the_csv_contains_all_values_that_are_drawn(tmp_path: Path):
    record = told(tmp_path / "run", staged_recipe())
    rows = list(csv.DictReader(io.StringIO(as_csv([record]))))
    assert len(rows) == len(record.events.steps) + len(record.events.epochs)
    ends = [row for row in rows if row["val_top1"]]
    assert [float(row["val_top1"]) for row in ends] == [ended.val.top1 for ended in record.events.epochs]
    assert [int(row["step"]) for row in rows] == sorted(int(row["step"]) for row in rows)
    assert {row["stage"] for row in rows} == {"head", "top", "everything"} and {row["run"] for row in rows} == {"run"}
