"""The app as a Space: everybody can classify and see curves; its owner can log in to do more."""

import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import httpx
import pytest
from gradio_client import Client, handle_file

from resnet_cifar.runs.run_dir import RunDir
from tests.awkward import halves
from tests.builders import app, checkpoint, recipe, told, wait
from tests.faults.strangers import Stranger, login
from tests.hub.contents import WRITE, Token
from tests.hub.login import CLIENT
from tests.hub.server import HubServer
from tests.ui.conftest import App, describe_run, free_port

SPACES = """
import sys
assert "torch" not in sys.modules, "ZeroGPU wants to be imported before torch"
gradio_auto_wrap = lambda function: function
def GPU(duration):
    assert 1 <= duration <= 60
    print("one function gets a GPU:", duration, flush=True)
    return lambda function: function
"""
"""What the app uses of ZeroGPU's package; with it, there is a GPU at once, and it is a CPU."""
OF_SPACE = {"SYSTEM": "spaces", "SPACE_ID": "me/app", "HF_TOKEN": "hf_of_the_space"}


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as hub:
        yield hub


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("space")


@pytest.fixture(scope="module")
def run(folder: Path) -> RunDir:
    run = told(folder / "runs" / "tiny", recipe()).run
    checkpoint(run.path, image_size=32)
    return run


@pytest.fixture(scope="module")
def space(hub: HubServer, run: RunDir, folder: Path) -> Iterator[str]:
    """Deploy a Space on ZeroGPU from the terminal and start it in its own folder; its URL."""
    done = app("--deploy-space", "me/app", "--run", run.path, env=hub.environment(folder / "home", HF_TOKEN=WRITE))
    assert done.returncode == 0 and f"is at {hub.url}/spaces/me/app" in done.stdout
    for name, content in hub.files("spaces", "me/app").items():
        file = folder / "space" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (folder / "space" / "spaces.py").write_text(SPACES)
    port = free_port()
    env = hub.environment(folder / "home", **OF_SPACE, **CLIENT, OPENID_PROVIDER_URL=hub.url, SPACES_ZERO_GPU="true")
    with Popen(
        [sys.executable, "app.py", "--port", str(port)], cwd=folder / "space", env=env, stdout=PIPE, stderr=STDOUT
    ) as process:
        try:
            assert process.stdout is not None
            lines: list[bytes] = []
            while not lines or b"This Space classifies" not in lines[-1]:  # after a message of Gradio
                lines.append(process.stdout.readline())
                assert lines[-1], "it did not start"
            assert [b"one function" in line for line in lines].count(True) == 1
            yield f"http://127.0.0.1:{port}"
            process.kill()
            said = b"".join([*lines, *process.stdout])
            assert b"hf_oauth_" not in said and b"hf_of_the_space" not in said
        finally:
            process.kill()


def log_in(page) -> None:
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()


def test_visitors_classify_and_see_curves(space: str, hub: HubServer, tmp_path: Path, browser):
    """Deploys and starts a Space: about 12 s."""
    hub.requests.clear()
    client = Client(space, verbose=False)
    halves().save(tmp_path / "halves.png")
    assert client.predict(handle_file(tmp_path / "halves.png"), None, api_name="/classify")["label"]
    assert client.predict(api_name="/runs")[0]["name"] == "tiny"
    assert "hf_of_the_space" not in httpx.get(f"{space}/config").text
    named = {"host": "me-app.hf.space", "origin": "https://me-app.hf.space"}
    assert httpx.get(f"{space}/config", headers=named).status_code == 200
    page = browser.new_page()
    page.goto(f"{space}#train")
    page.get_by_text("Its owner, me, can log in to do more").wait_for()
    assert page.get_by_role("tab", name="Publish").count() == 0
    page.get_by_role("tab", name="Curves").click()
    page.locator("#runs tbody tr").wait_for()
    assert page.get_by_role("button", name="Delete").count() == 0
    page.get_by_role("tab", name="Inspect").click()
    page.locator("#inspect .offer", has_text="Its owner, me, can log in to do more").wait_for()  # nothing is stored
    page.close()
    assert not [request for request in hub.requests if request.token]


def test_the_owner_logs_in_and_publishes_under_their_own_name(space: str, hub: HubServer, browser):
    """Opens a page and logs in twice: about 6 s."""
    hub.requests.clear()
    hub.visitor = Token(user="you")
    context = browser.new_context()
    page = context.new_page()
    page.goto(space)
    log_in(page)
    page.get_by_role("tab", name="Train").click()
    page.get_by_text("Its owner, me, can log in to do more").wait_for()
    assert page.get_by_role("tab", name="Publish").count() == 0
    page.get_by_role("button", name="Log out (you)").click()

    hub.visitor = Token(user="me")
    log_in(page)
    page.get_by_role("tab", name="Publish").click()
    page.get_by_text("me is logged in").wait_for()
    page.get_by_label("Repo").fill("me/tiny")
    page.get_by_role("button", name="Publish", exact=True).click()
    page.get_by_role("link", name=f"{hub.url}/me/tiny").wait_for()
    assert "model.safetensors" in hub.files("models", "me/tiny")
    used = {request.token for request in hub.requests if request.token}
    assert used and all(token.startswith("hf_oauth_") for token in used)
    context.close()


def test_the_owner_rents_a_gpu_on_their_own_account(space: str, hub: HubServer, folder: Path, browser):
    """A Job, and the process that follows it, which import torch: about 15 s."""
    hub.requests.clear()
    hub.visitor = Token(user="me", credit=True)
    context = browser.new_context()
    page = context.new_page()
    page.goto(space)
    log_in(page)
    page.get_by_role("tab", name="Train").click()
    page.get_by_text("a GPU only for seconds at a time (ZeroGPU)").wait_for()
    page.get_by_text("paid by your account, me").wait_for()
    describe_run(page, epochs=1)
    page.get_by_text("to see what this run takes and costs").wait_for()
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("Choose hardware under Where in the Train tab: a Job").nth(1).wait_for()  # beside the notice
    page.get_by_label("Where").click()
    prices = ("t4-small: $0.40", "l4x1: $0.80", "a10g-largex2: $3.00", "l4x4: $3.80")
    offered = page.locator("ul[role=listbox] [role=option]")
    assert offered.evaluate_all("all => all.map(one => one.ariaLabel)") == [f"Hugging Face, {one}/h" for one in prices]
    page.get_by_role("option", name="t4-small").click()
    page.get_by_text("on t4-small for about $0.01").wait_for()
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("paid with your account's credit. Start?").wait_for()
    assert not hub.cluster.jobs
    page.get_by_role("button", name="Yes, start").click()
    run = RunDir(folder / "space" / "checkpoints" / "quick-1")
    page.wait_for_selector(".live .state.running")
    wait(lambda: (held := run.holder()) and held.pid)
    proc = Path(f"/proc/{run.holder().pid}")
    told = "".join((proc / name).read_text(errors="replace") for name in ("cmdline", "environ"))
    assert "--resume" in told and "SPACE_ID" in told
    page.wait_for_selector(".live .state.completed", timeout=300_000)
    assert "test top-1" in page.inner_text(".live")

    (job,) = hub.cluster.jobs
    assert (job.owner, job.stage) == ("me", "COMPLETED") and hub.repo("models", "me/resnet_cifar-jobs-app").by_login
    (token,) = {request.token for request in hub.requests if request.token}
    assert token.startswith("hf_oauth_")
    told += "".join(file.read_text(errors="replace") for file in run.path.iterdir() if file.is_file())
    told += f"{job.spec} {job.lines} {page.content()}"
    assert "RunCompleted" in told and token not in told and "hf_of_the_space" not in told
    context.close()

    stranger = Stranger(f"{space}/", run.path.parent, login("you"))
    config = stranger.config()
    where = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == "where")
    values = {one["id"]: one["props"].get("value") for one in config["components"]}
    starters = [one for one in config["dependencies"] if where in one["inputs"] and one["queue"]]
    assert len(starters) == 3
    for one in starters:
        body = {"fn_index": one["id"], "data": [values[name] for name in one["inputs"]], "session_hash": "stranger"}
        assert "Its owner, me, can log in to do more" in stranger.ask("start", body, queue=True).text
    assert len(hub.cluster.jobs) == 1


ON_A_GPU = """
import sys
from pathlib import Path
from resnet_cifar.training import estimate
from resnet_cifar.ui import page
estimate.TRIAL_SECONDS = 1.0
page._why_no_training_on_space = lambda: None
page.serve(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]))
"""


@pytest.fixture
def on_a_gpu(hub: HubServer, run: RunDir, folder: Path) -> Iterator[App]:
    """A Space that believes it has a GPU."""
    space = App(run.path.parent, ON_A_GPU)
    space.start(env=hub.environment(folder / "home", **OF_SPACE, **CLIENT, OPENID_PROVIDER_URL=hub.url))
    yield space
    space.kill()


def test_the_owner_trains_if_there_is_a_gpu(on_a_gpu: App, browser):
    """Opens a page and starts a run: about 20 s."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{on_a_gpu.url}#train")
    page.get_by_text("Its owner, me, can log in to do more").wait_for()
    assert page.get_by_role("button", name="Start training").count() == 0
    log_in(page)
    page.get_by_role("tab", name="Train").click()
    page.get_by_text("A Space's disk is temporary").wait_for()
    page.get_by_label("Where").click()
    assert page.get_by_role("option", name="t4-small").count() == 1
    page.get_by_role("option", name="This machine").click()
    describe_run(page, epochs=100)
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("button", name="Stop").click()
    page.locator(".live .state.stopped").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
