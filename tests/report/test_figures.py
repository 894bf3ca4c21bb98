import csv
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_cifar.events import EpochEnded, Event, to_json
from resnet_cifar.report import figures
from resnet_cifar.report.series import POINTS, XAxis, as_csv, smooth, thin
from resnet_cifar.report.static_figure import sketch
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import recipe, stage, staged_recipe, told


def lines(chart) -> dict[str, Any]:
    return {line.meta: line for line in chart.data}


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
    assert list(found["run/averaged val/2/"].x) == [16, 20]  # only the last stage has averaged weights
    best = found["run/best"]
    assert (best.x, best.y) == ((20,), (record.events.epochs[-1].val.top1,))
    assert "best" in best.text[0]
    by_epoch = lines(figures.figure([record], "epoch"))
    assert list(by_epoch["run/train/1/"].x) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("top1", "place"), [(0.3, "top left"), (0.65, "bottom left"), (0.8, "top left")])
def test_the_label_of_the_best_epoch_does_not_cover_the_tutorials_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top1: float, place: str
):
    record = told(tmp_path / "run", staged_recipe())
    monkeypatch.setattr(record, "best", lambda: (4, top1))
    assert lines(figures.figure([record]))["run/best"].textposition == place


def test_the_tutorials_result_is_marked():
    (line,) = [shape for shape in figures.figure([]).layout.shapes if shape.type == "line"]
    assert line.y0 == line.y1 == figures.TUTORIAL_TOP1 and "69.54 %" in line.label.text


def test_several_runs_share_a_figure_and_each_has_one_legend_entry(tmp_path: Path):
    records = [told(tmp_path / name, recipe()) for name in ("one", "other")]
    chart = figures.figure(records)
    groups = {line.legendgroup for line in chart.data}
    assert groups == {"one", "other"}
    assert sum(bool(line.showlegend) for line in chart.data) == 2
    assert len({line.uid for line in chart.data}) == len(chart.data)
    assert not [shape for shape in chart.layout.shapes if shape.type == "rect"]


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
    assert not figures.figure([empty]).data
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
    for by in ("step", "epoch"):
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
    for kind in ("val", "averaged val"):
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
