"""What stands behind the tabs, called as plain functions."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
import torch
from gradio.context import LocalContext

from resnet_cifar.errors import UserError
from resnet_cifar.events import RunFailed
from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import HEAD, Stage
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import state
from resnet_cifar.training.estimate import Estimate, Estimates
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.curves.runs import delete, rename, rows
from resnet_cifar.ui.curves.tab import look
from resnet_cifar.ui.endpoints import all_runs, one_run
from resnet_cifar.ui.page import header, rights_of
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.live import live_card
from resnet_cifar.ui.train.setup import Setup, _cost
from resnet_cifar.ui.train.stages import rows_of, stages_from
from resnet_cifar.ui.train.tab import LATEST, act, at_hand, start, watch
from tests.builders import CPU, checkpoint, recipe, told
from tests.hub.login import CLIENT

MAY, MAY_NOT = Rights(), Rights("not today")


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """`one`, and the newer `other`."""
    for age, name in enumerate(("other", "one")):
        run = told(tmp_path / name, recipe()).run
        for file in (run.recipe_file, run.metrics_file):
            os.utime(file, (1e9 - age, 1e9 - age))
    return Records(tmp_path)


@pytest.mark.parametrize("name", RECIPES)
def test_a_table_that_nobody_touched_is_the_recipe(name: str):
    assert stages_from(RECIPES[name], rows_of(RECIPES[name])) == (RECIPES[name].stages, {})


def test_an_answer_that_comes_late_hides_nothing_for_long(tmp_path: Path):
    """It belongs to the form as it was, which the next tick notices; what is settled is not worked out again."""
    records, models = Records(tmp_path), Models(tmp_path, MAY)
    with gr.Blocks():
        setup = Setup(Launcher(tmp_path, CPU), models, Estimates(records, CPU), MAY, gr.Timer())
    form = ["quick", rows_of(RECIPES["quick"]), "cifar100", "", "scratch", 0]
    wrong = [*form[:3], str(tmp_path / "nowhere"), *form[4:]]
    _, told, settled = setup.consider(*wrong)
    assert "nowhere" in told and settled == wrong
    assert setup.await_price(settled, *wrong) == (gr.skip(), gr.skip())
    told, settled = setup.await_price(form, *wrong)
    assert "nowhere" in told and settled == wrong


def test_an_edited_table_changes_what_it_says_and_keeps_the_rest():
    base = RECIPES["transfer"]
    table = rows_of(base)
    table[1] |= {"lr": "0.04", "epochs": "20", "batch_size": "64", "learns": "layer3 to fc", "augmentation": "none"}
    table.append(table[2] | {"name": "once more"})
    stages, faults = stages_from(base, table)
    assert not faults and len(stages) == 4 and stages[3].name == "once more"
    assert stages[1].trainable == ("layer3", "layer4", "fc") and stages[1].augmentation == AUGMENTATIONS["none"]
    assert (stages[1].backbone_lr, stages[1].warmup_epochs) == (0.02, 2)  # in proportion
    assert (stages[1].layer_decay, stages[1].label_smoothing) == (0.8, 0.1)
    assert stages[3].ema_decay == base.stages[2].ema_decay


def test_a_stage_that_grows_shows_its_sizes_and_can_be_edited():
    base = RECIPES["overnight"]
    table = rows_of(base)
    assert table[0]["image_size"] == "64, 96, 128" and table[0]["augmentation"] == "the recipe's own"
    assert stages_from(base, table) == (base.stages, {})

    def edited(**cells: str) -> tuple[Stage, dict[str, str]]:
        (stage,), faults = stages_from(base, [table[0] | cells])
        return stage, faults

    smaller, faults = edited(image_size="48,64,96", epochs="10")
    assert not faults and smaller.image_sizes == (48, 64, 96)
    assert smaller.at(5).augmentation == base.stages[0].at(48).augmentation
    constant, faults = edited(image_size="64")
    assert not faults and constant.image_sizes == (64,) and len(constant.progression) == 2
    plain, faults = edited(augmentation="flip")
    assert not faults and {part.augmentation for part in plain.parts()} == {AUGMENTATIONS["flip"]}
    assert plain.image_sizes == (64, 96, 128)
    for wrong, says in (
        ("64, 96", "1 size, or 3"),
        ("64, x, 96", "whole number"),
        ("31", "stock stem"),
    ):
        stage, faults = edited(image_size=wrong)
        assert says in faults["0.image_size"] and stage == base.stages[0]


def test_a_head_that_learns_from_mixed_images_gets_new_features_every_epoch():
    table = rows_of(RECIPES["transfer"])
    table[0]["augmentation"] = "strong"
    (head, *_), faults = stages_from(RECIPES["transfer"], table)
    assert not faults and head.trainable == HEAD and head.views == 0


@pytest.mark.parametrize(
    "field,value,says",
    [
        ("epochs", "0", "between 1 and"),
        ("epochs", "1.5", "whole number"),
        ("lr", "", "number"),
        ("lr", "nan", "nan"),
        ("image_size", "31", "stock stem"),
        ("image_size", "1e9", "whole number"),
        ("batch_size", "1", "between 2 and"),
    ],
)
def test_each_wrong_cell_gets_its_sentence(field: str, value: str, says: str):
    table = rows_of(RECIPES["transfer"])
    table[1][field] = value
    stages, faults = stages_from(RECIPES["transfer"], table)
    assert list(faults) == [f"1.{field}"] and says in faults[f"1.{field}"]
    assert stages == RECIPES["transfer"].stages  # what is refused changes nothing


def test_the_table_of_runs_tells_what_programs_are_told(records: Records):
    first, second = rows(records, MAY, ["one"])
    assert (first["name"], second["name"]) == ("other", "one")
    assert first["colour"] is None and second["colour"] is not None
    now = state(records.get("one"))
    assert second["sort"]["best"] == now.best_val_top1 and second["epochs"] == "2 / 2"
    (records.root / "one" / "recipe.json").write_text("nonsense")
    broken = next(row for row in rows(records, MAY, []) if row["name"] == "one")
    assert broken["status"] == "unreadable" and "recipe.json can't be used" in broken["reason"]


def test_a_run_is_renamed_with_all_it_holds(records: Records):
    assert rename(records, MAY, ["one", "other"], "one", "better name".replace(" ", "-")) == ["better-name", "other"]
    assert records.names() == ["other", "better-name"] and len(records.get("better-name").events.epochs) == 2
    assert rename(records, MAY, None, "other", "2") is None


@pytest.mark.parametrize("to", ["", "..", "a/b", "=1+1", ".hidden", "x" * 65, "one", "with space"])
def test_a_name_that_is_no_good_or_taken_is_refused(records: Records, to: str):
    with pytest.raises(gr.Error, match="name"):
        rename(records, MAY, None, "other", to)
    assert records.names() == ["other", "one"]


def test_a_run_is_deleted_and_no_longer_shown(records: Records):
    assert delete(records, MAY, ["one", "other"], "one") == ["other"]
    assert records.names() == ["other"]
    for name in ("one", "..", "../x", ""):
        with pytest.raises(gr.Error, match="there is no run"):
            delete(records, MAY, None, name)


def test_a_run_at_work_is_neither_renamed_nor_deleted(records: Records):
    with RunDir(records.root / "one").locked():
        for attempt in (lambda: rename(records, MAY, None, "one", "two"), lambda: delete(records, MAY, None, "one")):
            with pytest.raises(gr.Error, match="being trained"):
                attempt()
    assert len(records.get("one").events.epochs) == 2


def test_the_model_that_ships_stays(records: Records):
    told(records.root / SHIPPED, recipe())
    with pytest.raises(gr.Error, match="ships with the project"):
        delete(records, MAY, None, SHIPPED)


def test_who_may_not_cannot(records: Records):
    launcher = Launcher(records.root, CPU)
    for attempt in (
        lambda: rename(records, MAY_NOT, None, "one", "two"),
        lambda: delete(records, MAY_NOT, None, "one"),
        lambda: start(launcher, MAY_NOT, None, 1),
        lambda: act(records, MAY_NOT, launcher.resume, LATEST),
    ):
        with pytest.raises(gr.Error, match="not today"):
            attempt()
    assert records.names() == ["other", "one"]


def test_only_what_changed_is_sent_again(records: Records):
    plot, table, drawn = look(records, MAY, ["one"], "step", 0.0, None)
    assert '"data"' in plot and len(table["value"]) == 2
    again = look(records, MAY, ["one"], "step", 0.0, drawn)
    assert again == (gr.skip(), gr.skip(), drawn)
    smoother = look(records, MAY, ["one"], "step", 0.5, drawn)
    assert smoother[0] != gr.skip() and smoother[1] == gr.skip()
    run = records.get("one").run
    run.append(records.get("one").events.epochs[-1])
    grown = look(records, MAY, ["one"], "step", 0.0, drawn)
    assert grown[0] not in (gr.skip(), plot) and grown[1] != gr.skip()
    assert look(records, MAY, ["one", "gone"], "step", 0.0, None)[0] == grown[0]
    assert look(records, MAY, [], "step", 0.0, None)[0] is None


def test_what_runs_is_shown_before_what_is_newer(records: Records):
    launcher = Launcher(records.root, CPU)
    assert at_hand(records, LATEST).run.name == "other"  # which spoke last
    with RunDir(records.root / "one").locked():
        assert at_hand(records, LATEST).run.name == "one"
        card, stop, resume, *_ = watch(records, launcher, MAY, LATEST, None)
        assert "running" in card and stop["visible"] and not resume["visible"]
    card, stop, resume, log, seen = watch(records, launcher, MAY, LATEST, None)
    assert not stop["visible"] and resume["visible"] and "started elsewhere" in log
    assert watch(records, launcher, MAY, LATEST, seen)[:4] == (gr.skip(),) * 4
    assert not watch(records, launcher, MAY_NOT, LATEST, None)[2]["visible"]
    assert "Nothing is training" in watch(Records(records.root / "empty"), launcher, MAY, LATEST, None)[0]


def test_what_comes_from_files_is_no_html(tmp_path: Path):
    folder = told(tmp_path / "run", recipe()).run.path.rename(tmp_path / "<b>run")  # such a name is not made here
    record = Record(RunDir(folder)).read()
    card = live_card(state(record), record.recipe, False)
    assert "<b>run" not in card and "&lt;b&gt;run" in card
    assert "<i>" not in header("a device", "<i>model")


def test_the_price_holds_no_html_of_a_run():
    assert "<img" not in _cost(Estimate(10, 100, None, "<img src=x>"), "a CPU")


def test_strangers_are_not_told_why_a_run_failed(records: Records):
    record = records.get("one")
    record.run.append(RunFailed(reason=f"cannot write {records.root}", user_error=True))
    now = state(record)
    assert MAY.discreet(now) == now and str(records.root) in str(now.reason)
    assert str(records.root) not in str(all_runs(records, MAY_NOT)) + str(one_run(records, MAY_NOT, "one"))
    assert str(records.root) not in str(rows(records, MAY_NOT, []))
    launcher = Launcher(records.root, CPU)
    assert str(records.root) not in str(watch(records, launcher, MAY_NOT, "one", None)[:4])
    assert str(records.root) in watch(records, launcher, MAY, "one", None)[0]


def test_rights_follow_from_how_the_page_is_reached():
    assert rights_of(local=True, password=False, read_only=False, space=None).change
    assert rights_of(local=False, password=True, read_only=False, space=None).change
    for how in ((False, False, False, None), (True, True, True, None), (True, True, False, "me/app")):
        closed = rights_of(*how)
        assert not closed.change and closed.why_not


def test_strangers_are_not_told_where_things_lie(records: Records):
    run = records.get("one").run
    checkpoint(run.path)
    whole = (run.path / "model.safetensors").read_bytes()
    (run.path / "model.safetensors").write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    (records.root / "other" / "recipe.json").write_text("damaged")
    for rights, all_of_it in ((MAY, True), (MAY_NOT, False)):
        with pytest.raises(UserError, match="one/model.safetensors") as error:
            Models(records.root, rights).classifier("one")
        assert (str(records.root) in str(error.value)) is all_of_it
        with pytest.raises(gr.Error, match="other/recipe.json") as refusal:
            one_run(Records(records.root), rights, "other")
        assert (str(records.root) in str(refusal.value)) is all_of_it
    with pytest.raises(gr.Error, match="not today"):
        next(Models(records.root, MAY_NOT).fetch("resnet_cifar/ui"))  # whether there is such a path or not


def login(user: str, *orgs: tuple[str, str], seconds: float = 3600) -> SimpleNamespace:
    """A request of somebody who has logged in."""
    told = [{"preferred_username": name, "roleInOrg": role} for name, role in orgs]
    info = {"access_token": f"hf_{user}", "expires_at": time.time() + seconds}
    info["userinfo"] = {"preferred_username": user, "orgs": told}
    return SimpleNamespace(request=SimpleNamespace(scope={"session": {"oauth_info": info}}))


@pytest.mark.parametrize(
    "request_,may",
    [
        (None, False),
        (SimpleNamespace(request=SimpleNamespace(scope={})), False),
        (login("you"), False),
        (login("lab"), True),
        (login("Lab"), True),
        (login("lab", seconds=-1), False),
        (login("you", ("lab", "write")), True),
        (login("you", ("lab", "read")), False),
        (login("you", ("other", "admin")), False),
    ],
)
def test_on_a_space_its_owner_may_once_logged_in(request_, may: bool, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"SYSTEM": "spaces", "SPACE_ID": "lab/app", "OPENID_PROVIDER_URL": "http://hub"}.items():
        monkeypatch.setenv(name, value)
    for name, value in CLIENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_space")
    rights = rights_of(local=False, password=False, read_only=False, space="lab/app")
    LocalContext.request.set(request_)
    assert rights.change is may and rights.offers_changes
    assert rights.train is (may and torch.cuda.is_available())
    assert rights.hub().token != "hf_of_the_space"
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", "")  # with which anybody could sign in as anybody
    assert rights_of(local=False, password=False, read_only=False, space="lab/app").owner is None
    if may:
        rights.need()
        assert rights.hub().token == request_.request.scope["session"]["oauth_info"]["access_token"]
    else:
        with pytest.raises(gr.Error, match="lab, logged in, can do more"):
            rights.need()
