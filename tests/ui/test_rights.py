"""What visitors may do and see, called as plain functions."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from gradio.context import LocalContext

from resnet_cifar.errors import UserError
from resnet_cifar.events import RunFailed
from resnet_cifar.hub.jobs import Hardware, new_place
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.rented import write_rented
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.runs.status import state
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.queue import Queue
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.clock import Clock
from resnet_cifar.ui.curves.rows import Rows
from resnet_cifar.ui.curves.runs import delete, rename
from resnet_cifar.ui.endpoints import all_runs, one_run
from resnet_cifar.ui.page import rights_of
from resnet_cifar.ui.publish.tab import dry_run, logged_in, upload
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.bar import LATEST, start
from resnet_cifar.ui.train.recipe_form import asked
from resnet_cifar.ui.train.tab import Watch, _resume, act, train_tab, training_notice
from tests.builders import CPU, checkpoint
from tests.hub.login import CLIENT, request_of

MAY, MAY_NOT = Rights(), Rights("not today")


def test_handlers_refuse_visitors_without_rights(records: Records):
    launcher = Launcher(records.root, CPU)
    queue = Queue(launcher)
    to_publish = ("", "one", "me/one", False, False, False, "", False)
    for attempt in (
        lambda: rename(records, MAY_NOT, "one", "two"),
        lambda: delete(records, MAY_NOT, "one"),
        lambda: start(launcher, queue, MAY_NOT, Any, False, "", "", 1),
        lambda: start(launcher, queue, MAY_NOT, Any, None, "", "", 1),
        lambda: act(records, MAY_NOT, launcher.resume, LATEST),
        lambda: asked(MAY_NOT, "price", dict)({}),
        lambda: logged_in(MAY_NOT),
        lambda: next(dry_run(records, MAY_NOT, *to_publish)),
        lambda: next(upload(records, MAY_NOT, *to_publish)),
    ):
        with pytest.raises(gr.Error, match="not today"):
            attempt()
    assert records.names() == ["other", "one"]


def test_stop_means_the_run_that_the_page_shows(records: Records):
    stopped: list[RunDir] = []
    for seen in (None, {}, {"name": "one"}):  # meanwhile, another one has become the latest
        act(records, MAY, stopped.append, LATEST, seen)
    assert [run.name for run in stopped] == ["other", "other", "one"]


def test_strangers_do_not_see_why_a_run_failed(records: Records):
    record = records.get("one")
    record.run.append(RunFailed(reason=f"cannot write {records.root}", user_error=True))
    now = state(record)
    assert MAY.discreet(now) == now and str(records.root) in str(now.reason)
    assert str(records.root) not in str(all_runs(records, MAY_NOT)) + str(one_run(records, MAY_NOT, "one"))
    rows = Rows(records)
    rows.look()
    assert str(records.root) not in str(rows.rows(records.names(), MAY_NOT))
    launcher = Launcher(records.root, CPU)
    assert str(records.root) not in str(Watch(records, launcher, Queue(launcher), MAY_NOT).answer("one", None)[:5])
    assert str(records.root) in Watch(records, launcher, Queue(launcher), MAY).answer("one", None)[0]


def test_rights_follow_from_how_the_page_is_reached():
    assert rights_of(local=True, password=False, read_only=False, space=None).change
    assert rights_of(local=False, password=True, read_only=False, space=None).change
    for how in ((False, False, False, None), (True, True, True, None), (True, True, False, "me/app")):
        closed = rights_of(*how)
        assert not closed.change and closed.why_not


def test_strangers_do_not_see_local_paths(records: Records):
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


@pytest.fixture
def on_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"SYSTEM": "spaces", "SPACE_ID": "lab/app", "OPENID_PROVIDER_URL": "http://hub", **CLIENT}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_space")


def rights_on_the_space() -> Rights:
    return rights_of(local=False, password=False, read_only=False, space="lab/app")


@pytest.mark.parametrize(
    "request_,may",
    [
        (None, False),
        (SimpleNamespace(request=SimpleNamespace(scope={})), False),
        (request_of("you"), False),
        (request_of("lab"), True),
        (request_of("Lab"), True),
        (request_of("lab", seconds=-1), False),
        (request_of("you", ("lab", "write")), True),
        (request_of("you", ("lab", "read")), False),
        (request_of("you", ("other", "admin")), False),
    ],
)
def test_the_owner_of_a_space_has_rights_after_logging_in(on_a_space, request_, may: bool, monkeypatch):
    rights = rights_on_the_space()
    LocalContext.request.set(request_)
    assert rights.change is may and rights.offers_changes
    assert rights.train is (may and torch.cuda.is_available()) and rights.rent is rights.start is may
    assert torch.cuda.is_available() or rights.why_no_training == "This Space has no GPU to train with."
    assert rights.hub().token != "hf_of_the_space"
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", "")  # without it, anyone could forge a login
    assert rights_on_the_space().owner is None
    if may:
        rights.need()
        assert rights.hub().token == request_.request.scope["session"]["oauth_info"]["access_token"]
    else:
        with pytest.raises(gr.Error, match="Its owner, lab, can log in"):
            rights.need()


@pytest.mark.parametrize(
    "asked_for,allowed,instead",
    [
        ("openid jobs", None, "Choose hardware under Where"),
        ("openid jobs", "openid jobs", "Choose hardware under Where"),
        ("openid jobs", "openid", "log out and in again"),  # a login of before the Space asked for it
        ("openid", "openid", "deploy the Space again"),
    ],
)
def test_a_space_that_cannot_train_names_what_its_owner_can_do(
    on_a_space, records: Records, asked_for: str, allowed: str | None, instead: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OAUTH_SCOPES", asked_for)
    monkeypatch.setattr("resnet_cifar.ui.page._why_no_training_on_space", lambda: "No GPU here.")
    rights, may = rights_on_the_space(), instead.startswith("Choose")
    LocalContext.request.set(request_of("lab", scope=allowed))
    assert rights.rent is rights.start is may and rights.offers_runs is ("jobs" in asked_for)
    launcher = Launcher(records.root, CPU)
    queue = Queue(launcher)
    here = f"No GPU here. .*{instead}"
    attempts = {
        lambda: start(launcher, queue, rights, Any, None, "", "", 1): here,
        lambda: start(launcher, queue, rights, Any, None, "", None, 1): here,
        lambda: act(records, rights, partial(_resume, queue, launcher, rights), "one"): here,
    }
    if not may:
        attempts[lambda: start(launcher, queue, rights, Any, None, "", "t4-small", 1)] = instead
        attempts[lambda: asked(rights, "run_names", dict)({})] = here
    for attempt, words in attempts.items():
        with pytest.raises(gr.Error, match=words):
            attempt()
    if may:
        stopped: list[RunDir] = []
        act(records, rights, stopped.append, "one")
        assert stopped and asked(rights, "run_names", dict)({}) == {"answer": {}}
        assert "No GPU here." in asked(rights, "find_rate", dict)({})["error"]
    notice = str(training_notice(rights))
    assert "No GPU here. " in notice and instead in notice and ("bucket of your account" in notice) is may
    LocalContext.request.set(request_of("you", scope=allowed))
    assert not rights.start and training_notice(rights) == rights.why_not
    for attempt in (
        lambda: start(launcher, queue, rights, Any, None, "", "t4-small", 1),
        lambda: act(records, rights, launcher.stop, "one"),
        lambda: asked(rights, "run_names", dict)({}),
    ):
        with pytest.raises(gr.Error, match="Its owner, lab, can log in"):
            attempt()


@pytest.mark.parametrize("why_no_training", [None, "No GPU."])
def test_a_queue_waits_where_nothing_can_train(records: Records, why_no_training: str | None, monkeypatch):
    attended: list[Queue] = []
    monkeypatch.setattr(Queue, "attend", lambda queue: attended.append(queue))
    rights = Rights("not today", "lab", why_no_training)
    with gr.Blocks():
        models = Models(records.root, rights)
        train_tab(records, Launcher(records.root, CPU), models, rights, Clock(), gr.HTML())
    assert bool(attended) is (why_no_training is None)


def test_a_rented_run_is_resumed_only_by_who_may_rent(records: Records):
    run = records.get("one").run
    write_rented(run, new_place("lab", "one", Hardware("t4-small", 1, "T4", 0.4), 30))
    LocalContext.request.set(request_of("lab"))
    launcher = Launcher(records.root, CPU)
    queue = Queue(launcher)
    rights = Rights("not today", "lab", why_no_jobs="No Jobs here.")
    assert rights.train and not rights.rent
    with pytest.raises(gr.Error, match="No Jobs here"):
        act(records, rights, partial(_resume, queue, launcher, rights), "one")
    for name, offered in (("one", False), ("other", True)):
        assert Watch(records, launcher, queue, rights).answer(name, None)[3]["visible"] is offered
        alone = Rights("not today", "lab", why_no_training="No GPU.")
        assert Watch(records, launcher, queue, alone).answer(name, None)[3]["visible"] is not offered
