"""What visitors may do and see, called as plain functions."""

import time
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from gradio.context import LocalContext

from resnet_cifar.errors import UserError
from resnet_cifar.events import RunFailed
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.status import state
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.queue import Queue
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.curves.rows import Rows
from resnet_cifar.ui.curves.runs import delete, rename
from resnet_cifar.ui.endpoints import all_runs, one_run
from resnet_cifar.ui.page import rights_of
from resnet_cifar.ui.publish.tab import dry_run, logged_in, upload
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.bar import LATEST, start
from resnet_cifar.ui.train.recipe_form import asked
from resnet_cifar.ui.train.tab import Watch, act
from tests.builders import CPU, checkpoint
from tests.hub.login import CLIENT

MAY, MAY_NOT = Rights(), Rights("not today")


def test_handlers_refuse_visitors_without_rights(records: Records):
    launcher = Launcher(records.root, CPU)
    queue = Queue(launcher)
    to_publish = ("", "one", "me/one", False, False, False, "", False)
    for attempt in (
        lambda: rename(records, MAY_NOT, "one", "two"),
        lambda: delete(records, MAY_NOT, "one"),
        lambda: start(launcher, queue, MAY_NOT, Any, False, False, "", 1),
        lambda: start(launcher, queue, MAY_NOT, Any, True, True, "", 1),
        lambda: act(records, MAY_NOT, launcher.resume, LATEST),
        lambda: asked(MAY_NOT, "price", dict)({}),
        lambda: logged_in(MAY_NOT),
        lambda: next(dry_run(records, MAY_NOT, *to_publish)),
        lambda: next(upload(records, MAY_NOT, *to_publish)),
    ):
        with pytest.raises(gr.Error, match="not today"):
            attempt()
    assert records.names() == ["other", "one"]


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


def login(user: str, *orgs: tuple[str, str], seconds: float = 3600) -> SimpleNamespace:
    """A request of a visitor who has logged in."""
    organisations = [{"preferred_username": name, "roleInOrg": role} for name, role in orgs]
    info = {"access_token": f"hf_{user}", "expires_at": time.time() + seconds}
    info["userinfo"] = {"preferred_username": user, "orgs": organisations}
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
def test_the_owner_of_a_space_has_rights_after_logging_in(request_, may: bool, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"SYSTEM": "spaces", "SPACE_ID": "lab/app", "OPENID_PROVIDER_URL": "http://hub"}.items():
        monkeypatch.setenv(name, value)
    for name, value in CLIENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_space")
    rights = rights_of(local=False, password=False, read_only=False, space="lab/app")
    LocalContext.request.set(request_)
    assert rights.change is may and rights.offers_changes
    assert rights.train is (may and torch.cuda.is_available())
    assert torch.cuda.is_available() or rights.why_no_training == "This Space has no GPU to train with."
    assert rights.hub().token != "hf_of_the_space"
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", "")  # without it, anyone could forge a login
    assert rights_of(local=False, password=False, read_only=False, space="lab/app").owner is None
    if may:
        rights.need()
        assert rights.hub().token == request_.request.scope["session"]["oauth_info"]["access_token"]
    else:
        with pytest.raises(gr.Error, match="Its owner, lab, can log in"):
            rights.need()
