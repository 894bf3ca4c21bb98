"""The Curves tab: the table of runs and the plot, called as plain functions."""

import gradio as gr
import pytest

from resnet_cifar.errors import UserError
from resnet_cifar.events import RunStopped
from resnet_cifar.hub.catalog import SHIPPED, fixed_runs
from resnet_cifar.runs.notes import Notes, read_notes, write_notes
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import state
from resnet_cifar.ui.curves.notes_form import noted, save
from resnet_cifar.ui.curves.rows import Rows
from resnet_cifar.ui.curves.run_page import described
from resnet_cifar.ui.curves.runs import delete, rename
from resnet_cifar.ui.curves.tab import _figure, update
from resnet_cifar.ui.curves.view import MOST_SHOWN, View, names_of
from resnet_cifar.ui.rights import Rights
from tests.builders import recipe, staged_recipe, told

MAY, MAY_NOT = Rights(), Rights("not today")


def table(records: Records, rights: Rights = MAY) -> dict:
    rows = Rows(records)
    rows.look()
    return rows.listing(rights) | {"rows": rows.rows(records.names(), rights)}


def test_the_table_shows_what_the_api_returns(records: Records):
    first, second = table(records)["rows"]
    assert (first["name"], second["name"]) == ("other", "one") and first["colour"] != second["colour"]
    now = state(records.get("one"))
    assert second["sort"]["best"] == now.best_val_top1 and second["cells"]["epochs"] == "2 / 2"
    (records.root / "one" / "recipe.json").write_text("nonsense")
    broken = next(row for row in table(records)["rows"] if row["name"] == "one")
    assert broken["status"] == "unreadable" and "recipe.json can't be used" in broken["reason"]


def test_columns_are_the_fields_that_differ(records: Records):
    assert table(records)["columns"] == []
    told(records.root / "seeded", recipe(seed=3))
    assert table(records)["columns"] == ["Seed"]
    told(records.root / "staged", staged_recipe())
    columns = table(records)["columns"]
    assert {"Learning rate", "Augmentation", "Seed", "EMA decay"} <= set(columns) and "Batch size" not in columns


def test_rows_follow_every_change_of_a_run(records: Records):
    rows = Rows(records)

    def now(name: str) -> dict:
        rows.look()
        return rows.rows([name], MAY)[0]

    before = now("one")
    assert now("one") == before
    write_notes(records.root / "one", Notes(tags=("good",), colour=4))
    assert now("one")["tags"] == ("good",) and now("one")["colour"] != before["colour"]
    records.get("one").run.append(records.get("one").events.epochs[-1])
    assert now("one")["cells"]["epochs"] == "3 / 2"
    with RunDir(records.root / "one").locked():
        assert now("one")["status"] == "running" and not now("one")["changeable"] and rows.default() == ["one"]
    assert now("one")["status"] == "interrupted" and now("one")["changeable"] and rows.default() == ["other"]
    told(records.root / SHIPPED, recipe())
    assert not now(SHIPPED)["changeable"]


def test_a_run_is_renamed_with_its_files(records: Records):
    rename(records, MAY, "one", "better-name")
    assert records.names() == ["other", "better-name"] and len(records.get("better-name").events.epochs) == 2


@pytest.mark.parametrize("to", ["", "..", "a/b", "=1+1", ".hidden", "x" * 65, "one", "with space", SHIPPED])
def test_an_invalid_or_taken_name_is_refused(records: Records, to: str):
    with pytest.raises(gr.Error, match="name"):
        rename(records, MAY, "other", to)
    assert records.names() == ["other", "one"]


def test_a_run_is_deleted(records: Records):
    delete(records, MAY, "one")
    assert records.names() == ["other"]
    for name in ("one", "..", "../x", ""):
        with pytest.raises(gr.Error, match="there is no run"):
            delete(records, MAY, name)


@pytest.mark.slow
def test_a_running_run_is_neither_renamed_nor_deleted(records: Records):
    with RunDir(records.root / "one").locked():
        for attempt in (lambda: rename(records, MAY, "one", "two"), lambda: delete(records, MAY, "one")):
            with pytest.raises(gr.Error, match="being trained"):
                attempt()
    assert len(records.get("one").events.epochs) == 2


def test_the_model_that_ships_cannot_be_changed(records: Records):
    told(records.root / SHIPPED, recipe())
    for attempt in (lambda: delete(records, MAY, SHIPPED), lambda: save(records, MAY, SHIPPED, "text", [], 0)):
        with pytest.raises(gr.Error, match="ships with the project"):
            attempt()
    assert noted(records, MAY, SHIPPED) is None


def test_the_run_of_a_space_cannot_be_changed(records: Records, monkeypatch: pytest.MonkeyPatch):
    """After a restart it is there again, so a new run of its name would be lost."""
    monkeypatch.setattr("resnet_cifar.hub.catalog.deployed_run", lambda: "one")
    fixed_runs.cache_clear()
    try:
        for attempt in (lambda: delete(records, MAY, "one"), lambda: rename(records, MAY, "other", "one")):
            with pytest.raises(gr.Error, match="the run that this Space was deployed with"):
                attempt()
        assert [row["name"] for row in table(records)["rows"] if row["changeable"]] == ["other"]
    finally:
        fixed_runs.cache_clear()


def test_notes_are_for_those_who_may_change_runs(records: Records):
    save(records, MAY, "one", " text ", ["a", " a", ""], 5)
    assert read_notes(records.root / "one") == Notes(text="text", tags=("a",), colour=5)
    save(records, MAY, "one", "text", [], 99)
    assert read_notes(records.root / "one").colour == 5
    assert noted(records, MAY, "one") == {"name": "one", "text": "text", "tags": (), "colour": 5}
    assert noted(records, MAY_NOT, "one") is None and noted(records, MAY, "../one") is None
    with pytest.raises(gr.Error, match="not today"):
        save(records, MAY_NOT, "one", "mine", [], 0)
    with pytest.raises(gr.Error, match="characters"):
        save(records, MAY, "one", "x" * 5_000, [], 0)


def test_the_page_of_a_run_tells_strangers_no_local_paths(records: Records):
    folder = records.root / "secret" / "elsewhere"
    told(records.root / "made", recipe(init=str(folder / "good-1"), teacher=str(folder / "wise-1")))
    events = records.root / "made" / "metrics.jsonl"
    events.write_text(events.read_text().replace('"data_dir": null', f'"data_dir": "{folder}"'))
    for rights, tells in ((MAY, True), (MAY_NOT, False)):
        page = described(records, rights, "made")
        assert (str(folder) in page) is tells
        assert "good-1" in page and "wise-1" in page
    assert str(records.root) not in described(records, MAY_NOT, "gone")
    (records.root / "made" / "recipe.json").write_text("nonsense")
    assert str(records.root) not in described(records, MAY_NOT, "made")


def test_the_page_of_a_run_escapes_all_texts(records: Records):
    odd = "<img src=x onerror=alert(1)>"
    run = told(records.root / "odd", recipe(about=odd)).run
    (run.path / "README.md").write_text(f"# A card {odd}")
    (run.path / f"{odd.replace('/', '')}.txt").write_text("")
    page = described(records, MAY, "odd")
    assert "<img" not in page and page.count("&lt;img") >= 3 and "A card" in page


@pytest.mark.parametrize("wrong", [None, "x", [], {}, {"shown": "a", "by": "day", "smoothing": "much", "open": 3}])
def test_what_the_browser_sends_is_checked(wrong: object):
    assert View.of(wrong) == View() and names_of(wrong) == []


def test_no_more_runs_are_shown_than_can_be_told_apart():
    names = [f"run-{number}" for number in range(100)]
    assert View.of({"shown": names}).shown == tuple(names[-MOST_SHOWN:])
    assert View.of({"smoothing": 7, "shown": ["a", "a", 3]}) == View(smoothing=0.98, shown=("a",))


PLOT, TABLE, DIFFERENCES, PAGE, NOTES, HAS = range(6)


def test_only_what_changed_is_sent_again(records: Records):
    rows = Rows(records)

    def asked(has: object = None, **view: object) -> list:
        return update(rows, MAY, {"shown": ["one"]} | view, has)

    first = asked()
    assert '"data"' in first[PLOT] and len(first[TABLE]["names"]) == 2
    has = first[HAS]
    assert asked(has) == [gr.skip()] * (HAS + 1)
    assert [part == gr.skip() for part in asked(has, smoothing=0.5)[:HAS]] == [False, True, True, True, True]
    run = records.get("one").run
    run.append(records.get("one").events.epochs[-1])
    grown = asked(has)
    assert grown[PLOT] not in (gr.skip(), first[PLOT]) and grown[TABLE] != gr.skip()
    write_notes(run.path, Notes(colour=6))
    assert asked(grown[HAS])[PLOT] not in (gr.skip(), grown[PLOT])  # in another colour
    assert asked(shown=["one", "gone"])[PLOT] == asked()[PLOT]
    assert asked(shown=[])[PLOT] is None and asked(shown=None)[PLOT] is not None


def test_a_run_that_is_open_is_drawn_alone(records: Records):
    rows = Rows(records)
    both = update(rows, MAY, {"shown": ["one", "other"]}, None)
    assert "do not differ" in both[DIFFERENCES] and both[PAGE] == "" and both[NOTES] is None
    opened = update(rows, MAY, {"shown": ["one", "other"], "open": "one"}, both[HAS])
    assert "one\\u002f" in opened[PLOT] and "other\\u002f" not in opened[PLOT]
    assert opened[DIFFERENCES] == "" and "Results by stage" in opened[PAGE] and opened[NOTES]["name"] == "one"
    with pytest.raises(UserError):
        records.get("gone")
    assert "there is no run" in update(rows, MAY, {"open": "gone"}, None)[PAGE]


def test_a_run_is_queued_in_the_table_as_soon_as_it_is(records: Records):
    rows, run = Rows(records), records.get("one").run
    run.append(RunStopped(by="SIGINT"))
    for queued in (False, True, False):
        run.queued_file.write_text("{}") if queued else run.queued_file.unlink(missing_ok=True)
        rows.look()
        (shown,) = rows.rows(["one"], MAY)
        assert shown["status"] == ("queued" if queued else "stopped")


def test_pages_that_show_runs_in_another_order_do_not_wait_for_each_other(records: Records, monkeypatch):
    taken: list[str] = []
    for name in ("one", "other"):
        monkeypatch.setattr(records.get(name), "lock", Taken(taken, name))
    for names in (("one", "other"), ("other", "one")):
        shown = [records.get(name) for name in names]
        taken.clear()
        _figure.__wrapped__(shown, "step", 0, False, None)
        assert taken[:2] == ["one", "other"]


class Taken:
    """A lock that notes when it is taken."""

    def __init__(self, taken: list[str], name: str) -> None:
        self.taken, self.name = taken, name

    def __enter__(self) -> None:
        self.taken.append(self.name)

    def __exit__(self, *_: object) -> None:
        pass
