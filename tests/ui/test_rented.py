"""A run on rented hardware from the page, on a local Hub whose Jobs are processes of this machine."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from gradio.context import LocalContext
from huggingface_hub import HfApi

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.renting import rent
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.where import Where
from tests.awkward import halves
from tests.builders import CPU, end_watchers, result, wait
from tests.builders import recipe as tiny
from tests.hub.contents import READ, WRITE, Token
from tests.hub.login import request_of
from tests.hub.server import HubServer
from tests.ui.accessibility import serious
from tests.ui.conftest import App, describe_run


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as hub:
        hub.tokens[WRITE] = Token(credit=True)
        yield hub


@pytest.fixture
def app(hub: HubServer, tmp_path: Path) -> Iterator[App]:
    """The page of somebody who is logged in, as `hf auth login` leaves it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(WRITE)
    (tmp_path / "runs").mkdir()
    app = App(tmp_path / "runs")
    app.start(env=hub.environment(tmp_path / "home"))
    yield app
    app.kill()
    end_watchers(app.root)


def points(page) -> int:
    return page.evaluate("document.querySelector('#live-chart .plot')?.calcdata?.[0]?.length ?? 0")


def choose(page, hardware: str) -> None:
    page.get_by_label("Where").click()
    page.get_by_role("option", name=hardware).click()


def test_a_job_from_its_price_to_its_model(app: App, hub: HubServer, browser, tmp_path: Path):
    """The page, and two Jobs with a process each that follows them, which import torch: about 25 s."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{app.url}#train")
    describe_run(page, epochs=15)
    choose(page, "t4-small: $0.40/h")
    page.get_by_text("on t4-small for about $0.01").wait_for()
    assert not serious(page)
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("paid with your account's credit. Start?").wait_for()
    assert not hub.cluster.jobs and not hub.repos  # nothing before the answer
    page.get_by_role("button", name="Yes, start").click()
    page.wait_for_selector(".live .state.running")
    wait(lambda: points(page) > 1)
    before = points(page)
    page.reload()
    wait(lambda: points(page) > before)

    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(".live .state.stopped")
    assert [job.stage for job in hub.cluster.jobs] == ["CANCELED"]
    page.get_by_role("button", name=re.compile("^Resume$")).click()
    page.wait_for_selector(".live .state.running")
    page.wait_for_selector(".live .state.completed", timeout=300_000)
    assert [job.stage for job in hub.cluster.jobs] == ["CANCELED", "COMPLETED"]
    assert "test top-1" in page.inner_text(".live")
    page.get_by_role("button", name="Try it").click()
    page.get_by_text("Model quick-1").first.wait_for()
    halves().save(tmp_path / "halves.png")
    page.set_input_files("input[type=file] >> nth=0", tmp_path / "halves.png")
    page.wait_for_selector(".answer .what")
    run = RunDir(app.root / "quick-1")
    kept = "".join(file.read_text(errors="replace") for file in run.path.iterdir() if file.is_file())
    assert "RunResumed" in kept and WRITE not in kept + page.content()


@pytest.fixture
def login(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that holds this process's login at the Hub; it is not there yet."""
    hub.patch(monkeypatch, tmp_path / "home")
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "token"


def test_rented_hardware_is_offered_only_to_who_may_rent_it(hub: HubServer, login: Path):
    with gr.Blocks(analytics_enabled=False):
        where = Where(Rights(), None)
    assert where.offer()["visible"] is False
    assert not [
        request for request in hub.requests if "gradio" not in request.path
    ]  # without a login, nothing is asked
    login.write_text(READ)
    assert "the token of me may not start Jobs" in where.offer()["info"]
    login.write_text(WRITE)
    offered = where.offer()
    assert [name for _, name in offered["choices"]] == ["", "t4-small", "l4x1", "a10g-largex2", "l4x4"]
    assert offered["visible"]
    hub.fail("GET", "/api/jobs/hardware", 403)
    assert "may not start or see Jobs" in where.offer()["info"]


def test_a_space_rents_from_its_visitors_account(hub: HubServer, login: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", WRITE)  # the Space's own
    monkeypatch.setenv("OAUTH_SCOPES", "openid jobs")
    hub.tokens["hf_me"] = Token(by_login=True)
    alone = Rights("not today", owner="me", why_no_training="No GPU.")
    offered = {}
    for title, rights in (("alone", alone), ("beside", Rights("not today", owner="me"))):
        with gr.Blocks(analytics_enabled=False):
            where = Where(rights, None)
        LocalContext.request.set(request_of("you"))
        asked = len(hub.requests)
        assert where.offer()["visible"] is False and len(hub.requests) == asked  # strangers
        LocalContext.request.set(request_of("me", scope="openid jobs"))
        offer = where.offer()
        assert "paid by your account, me" in offer["info"]
        offered[title] = [name for _, name in offer["choices"]]
        hub.fail("GET", "/api/jobs/hardware", 403)
        assert "may not start or see Jobs" in where.offer()["info"]
        LocalContext.request.set(request_of("me", scope="openid"))
        assert where.offer()["visible"] is (title == "beside")  # alone, the notice says so in place of the form
    assert offered["beside"] == ["", *offered["alone"]] and "t4-small" in offered["alone"]
    assert "Only this machine: This login may not start Jobs" in where.offer()["info"]
    assert "Choose hardware under <b>Where</b>" in where.line(RECIPES["overnight"], None)
    assert {request.token for request in hub.requests if "/api/" in request.path} == {"hf_me"}


def test_the_price_is_told_and_asked_before_a_start(hub: HubServer, login: Path):
    login.write_text(WRITE)
    with gr.Blocks(analytics_enabled=False):
        where = Where(Rights(), None)
    where.offer()
    recipe = RECIPES["overnight"]
    assert "on t4-small for about $0.46" in where.line(recipe, "t4-small")
    assert where.question(recipe, "t4-small").startswith("This costs about $0.46 and $3.03 at most")
    local = replace(recipe, init="/somewhere/model.safetensors")
    assert "A Job cannot see the initial weights" in where.line(local, "t4-small")
    with pytest.raises(gr.Error, match="cannot see the initial weights"):
        where.question(local, "t4-small")
    assert "reload the page" in where.line(recipe, "gone")


def test_a_job_that_cannot_start_leaves_no_run(hub: HubServer, login: Path, tmp_path: Path):
    login.write_text(WRITE)
    hub.tokens[WRITE] = Token()  # without credit
    with gr.Blocks(analytics_enabled=False):
        where = Where(Rights(), None)
    where.offer()
    recipe = tiny()
    with pytest.raises(UserError, match="wants credit"):
        result(rent(Launcher(tmp_path / "runs", CPU), HfApi(), recipe, where.price(recipe, "t4-small"), name="mine"))
    assert not (tmp_path / "runs" / "mine").exists()
