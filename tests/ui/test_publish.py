"""The Publish tab, against a Hub server on this machine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_cifar.ui.classify.examples import EXAMPLES
from tests.awkward import halves
from tests.builders import checkpoint, recipe, told
from tests.hub.contents import READ, WRITE
from tests.hub.server import HubServer
from tests.ui.accessibility import serious
from tests.ui.conftest import App, on_both_screens, screen


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as hub:
        yield hub


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    told(root / "tiny", recipe())
    checkpoint(root / "tiny", image_size=32)
    return root


@pytest.fixture(scope="module")
def app(hub: HubServer, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = App(root)
    app.start(env=hub.environment(tmp_path_factory.mktemp("home"), HF_TOKEN=WRITE))
    yield app
    app.kill()


@pytest.fixture
def page(request: pytest.FixtureRequest, browser, app: App) -> Iterator:
    page = browser.new_page(**screen(request))
    page.goto(f"{app.url}#publish")
    page.get_by_text("me is logged in").wait_for()
    yield page
    page.close()


@on_both_screens
def test_a_preview_is_accessible_and_publishes_nothing(page, hub: HubServer):
    """axe-core, WCAG AA: about 5 s."""
    hub.repos.clear()
    page.get_by_label("Repo").fill("me/tiny")
    page.get_by_role("button", name="Preview").click()
    page.locator(".files", has_text="model.safetensors").wait_for()
    page.get_by_role("button", name="Model card").click()
    page.get_by_role("heading", name="How it was trained").wait_for()
    assert not hub.repos
    assert not serious(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_run_is_published_and_used_from_the_hub(page, hub: HubServer, root: Path, tmp_path: Path):
    """Exports and pushes a model and loads it back, in a page of its own process: about 10 s."""
    hub.repos.clear()
    before = {file.name: file.read_bytes() for file in (root / "tiny").iterdir()}
    page.get_by_label("Repo").fill("me/tiny")
    page.get_by_label("Space: the app").check()
    page.get_by_label("Hardware of the Space").wait_for()  # it moves the button
    page.get_by_role("button", name="Preview").click()
    page.locator(".files", has_text="app.py").wait_for()
    page.get_by_label("Weights", exact=True).check()
    page.get_by_label("Include ONNX").check()
    page.get_by_label("As a pull request").check()
    page.get_by_role("button", name="Preview").click()
    page.locator(".files", has_text="model.onnx").wait_for()
    assert "As a pull request to me/tiny" in page.inner_text("#published .files") and " MB" in page.inner_text(
        "#published .files"
    )
    page.get_by_label("As a pull request").uncheck()
    page.get_by_role("button", name="Publish", exact=True).click()
    page.get_by_role("link", name=f"{hub.url}/me/tiny").wait_for()
    assert hub.repo("models", "me/tiny").private and "model.onnx" in hub.files("models", "me/tiny")
    assert json.loads(hub.files("models", "me/tiny")["config.json"])["arch"] == "tiny"
    assert {file.name: file.read_bytes() for file in (root / "tiny").iterdir()} == before

    page.get_by_role("tab", name="Classify").click()
    page.get_by_label("Model").fill("me/tiny")
    page.get_by_label("Model").press("Enter")
    page.get_by_text("Model me/tiny").wait_for()
    halves().save(tmp_path / "halves.png")
    page.set_input_files("input[type=file] >> nth=0", tmp_path / "halves.png")
    page.wait_for_selector(".answer .what")
    stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    assert WRITE not in page.content() + page.evaluate(stored)


def test_the_app_is_published_with_a_run(page, hub: HubServer):
    hub.repos.clear()
    page.get_by_label("Space: the app").check()
    page.get_by_label("Repo").fill("me/app")
    page.get_by_label("Keep its runs").check()
    page.get_by_role("button", name="Preview").click()
    page.locator(".files", has_text="in the private bucket me/app-space-runs").wait_for()
    page.get_by_role("button", name="Publish", exact=True).click()
    page.get_by_role("link", name=f"{hub.url}/spaces/me/app").wait_for()
    files = hub.files("spaces", "me/app")
    examples = {f"resnet_cifar/ui/classify/examples/{name}.jpg" for name in EXAMPLES}
    assert [volume["mountPath"] for volume in hub.repo("spaces", "me/app").volumes] == ["/data"]
    assert {"app.py", "checkpoints/tiny/model.safetensors", *examples} <= set(files)
    page.get_by_label("Hardware of the Space").click()
    page.get_by_role("option", name="cpu-basic").click()
    page.get_by_role("button", name="Publish", exact=True).click()
    page.get_by_text("choose zero-a10g, ZeroGPU").wait_for()


def test_why_a_run_cannot_be_published_is_shown(page, hub: HubServer):
    page.get_by_label("Repo").fill("just-a-name")
    page.get_by_role("button", name="Preview").click()
    page.get_by_text("has no owner; it must be USER/NAME").wait_for()
    page.get_by_label("Repo").fill("you/tiny")
    page.get_by_role("button", name="Publish", exact=True).click()
    page.get_by_text("can't write to you; choose one of me").wait_for()
    page.get_by_label("Repo").fill(" ")
    page.get_by_role("button", name="Publish", exact=True).click()
    page.get_by_text("it must be USER/NAME").first.wait_for()


def test_a_missing_repo_is_reported_for_the_model_box(page):
    page.get_by_role("tab", name="Classify").click()
    page.wait_for_function("[...document.querySelectorAll('.models input')].some(box => box.value)")
    page.get_by_label("Model").fill("you/nothing")
    page.get_by_label("Model").press("Enter")
    page.get_by_text("there is no 'you/nothing' on the Hugging Face Hub").wait_for()


def test_a_token_that_can_only_read_is_said_to(hub: HubServer, app: App, browser, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(hub.tokens, WRITE, hub.tokens[READ])
    page = browser.new_page()
    page.goto(f"{app.url}#publish")
    page.get_by_text("the token can only read").wait_for()
    assert page.get_by_role("button", name="Publish", exact=True).is_disabled()
    assert page.get_by_role("button", name="Preview").is_enabled()
    page.close()
