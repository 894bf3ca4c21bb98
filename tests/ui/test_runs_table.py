"""The Curves tab: the table of runs and the plot, called as plain functions."""

import gradio as gr
import pytest

from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import state
from resnet_cifar.ui.curves.runs import delete, rename, rows
from resnet_cifar.ui.curves.tab import update
from resnet_cifar.ui.rights import Rights
from tests.builders import recipe, told

MAY = Rights()


def test_the_table_shows_what_the_api_returns(records: Records):
    first, second = rows(records, MAY, ["one"])
    assert (first["name"], second["name"]) == ("other", "one")
    assert first["colour"] is None and second["colour"] is not None
    now = state(records.get("one"))
    assert second["sort"]["best"] == now.best_val_top1 and second["epochs"] == "2 / 2"
    (records.root / "one" / "recipe.json").write_text("nonsense")
    broken = next(row for row in rows(records, MAY, []) if row["name"] == "one")
    assert broken["status"] == "unreadable" and "recipe.json can't be used" in broken["reason"]


def test_a_run_is_renamed_with_its_files(records: Records):
    assert rename(records, MAY, ["one", "other"], "one", "better name".replace(" ", "-")) == ["better-name", "other"]
    assert records.names() == ["other", "better-name"] and len(records.get("better-name").events.epochs) == 2
    assert rename(records, MAY, None, "other", "2") is None


@pytest.mark.parametrize("to", ["", "..", "a/b", "=1+1", ".hidden", "x" * 65, "one", "with space"])
def test_an_invalid_or_taken_name_is_refused(records: Records, to: str):
    with pytest.raises(gr.Error, match="name"):
        rename(records, MAY, None, "other", to)
    assert records.names() == ["other", "one"]


def test_a_run_is_deleted_and_no_longer_shown(records: Records):
    assert delete(records, MAY, ["one", "other"], "one") == ["other"]
    assert records.names() == ["other"]
    for name in ("one", "..", "../x", ""):
        with pytest.raises(gr.Error, match="there is no run"):
            delete(records, MAY, None, name)


@pytest.mark.slow
def test_a_running_run_is_neither_renamed_nor_deleted(records: Records):
    with RunDir(records.root / "one").locked():
        for attempt in (lambda: rename(records, MAY, None, "one", "two"), lambda: delete(records, MAY, None, "one")):
            with pytest.raises(gr.Error, match="being trained"):
                attempt()
    assert len(records.get("one").events.epochs) == 2


def test_the_model_that_ships_cannot_be_deleted(records: Records):
    told(records.root / SHIPPED, recipe())
    with pytest.raises(gr.Error, match="ships with the project"):
        delete(records, MAY, None, SHIPPED)


def test_only_what_changed_is_sent_again(records: Records):
    plot, table, sent = update(records, MAY, ["one"], "step", 0.0, None)
    assert '"data"' in plot and len(table) == 2
    again = update(records, MAY, ["one"], "step", 0.0, sent)
    assert again == (gr.skip(), gr.skip(), sent)
    smoother = update(records, MAY, ["one"], "step", 0.5, sent)
    assert smoother[0] != gr.skip() and smoother[1] == gr.skip()
    run = records.get("one").run
    run.append(records.get("one").events.epochs[-1])
    grown = update(records, MAY, ["one"], "step", 0.0, sent)
    assert grown[0] not in (gr.skip(), plot) and grown[1] != gr.skip()
    assert update(records, MAY, ["one", "gone"], "step", 0.0, None)[0] == grown[0]
    assert update(records, MAY, [], "step", 0.0, None)[0] is None
