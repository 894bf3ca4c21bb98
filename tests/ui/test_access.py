"""Access to a live page: origins, passwords and rights."""

from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client

from resnet_cifar.cli import main as cli
from resnet_cifar.errors import UserError
from resnet_cifar.ui.page import serve
from resnet_cifar.ui.refusals import refuse
from tests.builders import recipe, told
from tests.ui.conftest import free_port


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Open a page over a folder with one run; its URL."""
    told(tmp_path / "one", recipe())
    pages = []

    def open_page(host: str = "127.0.0.1", **options) -> str:
        pages.append(serve(tmp_path, host, free_port(), wait=False, **options))
        return f"http://127.0.0.1:{pages[-1].server_port}/"

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers,code",
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:{port}"}, 200),
        ({"origin": "http://localhost:{port}", "host": "localhost:{port}"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"}, 403),
        ({"origin": "http://evil.example:{port}", "host": "evil.example:{port}"}, 403),
    ],
)
def test_requests_from_other_sites_are_refused(served: Callable[..., str], headers: dict[str, str], code: int):
    url = served()
    port = url.rstrip("/").rpartition(":")[2]
    sent = {name: value.format(port=port) for name, value in headers.items()}
    assert httpx.post(f"{url}gradio_api/call/runs", json={"data": []}, headers=sent).status_code == code
    assert httpx.get(f"{url}config", headers=sent).status_code == code


def test_a_page_for_other_machines_needs_a_password_for_training(served: Callable[..., str], capsys, browser):
    url = served(host="0.0.0.0")
    assert "has no password" in capsys.readouterr().out
    page = browser.new_page()
    page.goto(url)
    page.get_by_role("tab", name="Train").click()
    page.get_by_text("Set --auth USER:PASSWORD to allow training").wait_for()
    assert page.get_by_role("button", name="Start training").count() == 0
    page.get_by_role("tab", name="Curves").click()
    page.locator("#runs tbody tr").wait_for()
    assert page.get_by_role("button", name="Delete").count() == 0
    page.close()
    assert Client(url, verbose=False).predict("one", api_name="/run")["name"] == "one"
    own_name = {"host": "gpu-box:7860", "origin": "http://gpu-box:7860"}  # any name of this machine is allowed
    assert httpx.get(f"{url}config", headers=own_name).status_code == 200


def test_a_password_is_required_and_accepted(served: Callable[..., str], browser):
    url = served(host="0.0.0.0", auth=("me", "secret"))
    assert httpx.post(f"{url}gradio_api/call/runs", json={"data": []}).status_code == 401
    assert Client(url, auth=("me", "secret"), verbose=False).predict(api_name="/runs")[0]["name"] == "one"
    page = browser.new_page()
    page.goto(url)
    page.get_by_label("username").fill("me")
    page.get_by_label("password").fill("secret")
    page.get_by_role("button", name="Login").click()
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("button", name="Start training").wait_for()
    page.close()


def test_read_only_is_read_only(served: Callable[..., str], browser):
    page = browser.new_page()
    page.goto(served(read_only=True) + "#train")
    page.get_by_text("started with --read-only").wait_for()
    assert page.get_by_role("button", name="Start training").count() == 0
    page.close()


@pytest.mark.parametrize("auth", ["me", "me:", ":secret", ":"])
def test_an_incomplete_password_is_refused_at_once(auth: str, capsys, monkeypatch: pytest.MonkeyPatch):
    assert cli.main(["--auth", auth]) == 2
    assert "must be USER:PASSWORD" in capsys.readouterr().err
    monkeypatch.setenv("RESNET_CIFAR_AUTH", auth)
    assert cli.main([]) == 2


@pytest.mark.slow
def test_files_of_the_server_are_not_served(served: Callable[..., str], tmp_path: Path):
    url = served()
    for path in (tmp_path / "one" / "recipe.json", Path(cli.__file__), "/etc/passwd", "app.py"):
        assert httpx.get(f"{url}gradio_api/file={path}").status_code in (403, 404)
    from resnet_cifar.ui.chart import PLOTLY_JS

    assert httpx.get(f"{url}gradio_api/file={PLOTLY_JS}").status_code == 200


def test_a_refusal_is_plain_text():
    """Gradio shows the message of an error as markup: an image in it would be asked for."""
    refusal = refuse(UserError("there is no model '<img src=//far.away/x>' & none like it."))
    assert isinstance(refusal, gr.Error) and "<" not in refusal.message and "'" in refusal.message
    assert refusal.reason == "there is no model '<img src=//far.away/x>' & none like it."
