"""Strangers: whatever they ask a page, nothing changes, nothing starts, nothing is fetched, and no secret is told."""

import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from resnet_cifar.training.queue import Queue
from resnet_cifar.training.trial import Trial
from resnet_cifar.ui.cleaning import MAX_SESSIONS
from resnet_cifar.ui.inspect.works import Works
from resnet_cifar.ui.train.tasks import Tasks
from tests.awkward import halves, saved
from tests.builders import checkpoint, memory, recipe, told
from tests.faults.conftest import LONG, Table
from tests.faults.strangers import AS_SHOWN, NAMES, OWNERS, TOKEN, VALUES, WAYS, Answer, Stranger, content, visiting

_SHORT = ("--read-only", "a Space, logged in as another")
_ALL_VALUES = ("for other machines", "a Space, logged in as another")  # the other ways differ in rights alone


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One run, with a model."""
    checkpoint(told(tmp_path / "runs" / "one", recipe()).run.path)
    (tmp_path / "recipe.json").write_text("{}")  # what `..` would lead to
    return tmp_path / "runs"


@pytest.fixture
def began(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Processes, computations, long tasks and connections that were to be begun; none is."""
    begun: list[Any] = []

    def no_process(_: object, command: Any, *__: object, **___: object) -> None:
        begun.append(command)
        raise OSError("no process starts in this test")

    look_up = socket.getaddrinfo

    def nowhere_else(host: Any, *rest: Any, **more: Any) -> Any:
        if host in ("127.0.0.1", "localhost", "0.0.0.0"):
            return look_up(host, *rest, **more)
        begun.append(("connection", host))
        raise socket.gaierror(f"{host} is not asked in this test")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere_else)
    monkeypatch.setattr(subprocess.Popen, "__init__", no_process)
    monkeypatch.setattr(Queue, "attend", lambda _: None)  # its thread would outlive the test
    monkeypatch.setattr(Works, "start", lambda _, name, __: begun.append(name))
    monkeypatch.setattr(Tasks, "_begin", lambda self, _: begun.append(self._title) or 0)
    monkeypatch.setattr("resnet_cifar.training.estimate.try_out", lambda *_: Trial(1e13, 2**30))
    return begun


def asked(stranger: Stranger, config: dict[str, Any], values: tuple[Any, ...]) -> list[Answer]:
    """All answers to all values. None tells where the runs are, unless it repeats what it was asked."""
    answers = []
    for value in values:
        these = list(stranger.ask_all(config, value))
        assert not [one for one in these if str(stranger.root) in one.text and "{root}" not in str(value)]
        answers += these
    return answers


def config_of_a_page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is told of a page without a password; with one, the handlers are the same."""
    with visiting("this machine", Path("no-runs"), monkeypatch) as owner:
        return owner.config()


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS if LONG else _SHORT)
def test_every_handler_refuses_strangers(root: Path, way: str, monkeypatch, capfd, began: list[Any], table: Table):
    before = content(root)
    with visiting(way, root, monkeypatch) as stranger:
        config = stranger.config() or config_of_a_page(monkeypatch)
        answers = asked(stranger, config, (AS_SHOWN, *(VALUES if LONG and way in _ALL_VALUES else ("me/one",))))
    assert content(root) == before and not began
    handlers = {answer.handler for answer in answers}
    assert len(handlers) > 40
    said = "".join([str(config), *capfd.readouterr(), *(answer.text for answer in answers)])
    assert TOKEN not in said and "hf_oauth_" not in said
    if "auth" in way:
        assert {answer.status for answer in answers} == {401}
    must = "no file changes, no process, computation or connection begins, no token and no path is told"
    table.tell(
        "Strangers", f"every handler, {way}", must, f"{len(answers):,} questions to {len(handlers)} handlers: held"
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", OWNERS if LONG else ["a Space, logged in as its owner"])
def test_the_same_questions_do_something_for_those_who_may(root: Path, way: str, monkeypatch, capfd, began: list[Any]):
    with visiting(way, root, monkeypatch) as owner:
        answers = asked(owner, owner.config(), (AS_SHOWN,))
    assert not (root / "one").exists(), "it was to be deleted"
    able = {tuple} if "without a GPU" in way else {list, str, tuple}
    assert able == {type(one) for one in began}, "a run, a computation, a connection to the Hub"
    said = [*capfd.readouterr(), *(answer.text for answer in answers), str(content(root)), str(began)]
    assert TOKEN not in "".join(said) and "enough output values" not in "".join(said)


def test_a_name_that_is_none_gets_a_sentence(root: Path, monkeypatch: pytest.MonkeyPatch, table: Table):
    """Of a run, and of a model."""
    with visiting("for other machines", root, monkeypatch) as stranger:
        form = {"files": saved(halves(), "PNG")}
        (path,) = stranger.client.post(f"{stranger.url}gradio_api/upload", files=form).json()
        for name in NAMES:
            answer = stranger.post("api/run", {"data": [name]})
            if name != "\ud800":  # which Gradio cannot repeat
                assert "there is no run" in answer.json()["error"] and "<" not in answer.text
            said = stranger.call("classify", [{"path": path, "meta": {"_type": "gradio.FileData"}}, name])
            if name.strip():  # else the best model answers
                assert "there is no model" in said and "<" not in said and "confidences" not in said
    what = "names with `..`, `/`, NUL, 300 characters, look-alikes, markup"
    table.tell("Strangers", what, "a sentence, without markup", f"{len(NAMES)} names: held")


@pytest.mark.slow
def test_a_flood_leaves_the_page_alive(root: Path, monkeypatch: pytest.MonkeyPatch, table: Table):
    """Many calls at once, whose answers nobody fetches, and many uploads."""
    with visiting("for other machines", root, monkeypatch) as stranger, ThreadPoolExecutor(32) as pool:
        count = 1000 if LONG else 60
        nothing, upload = {"data": [None, None]}, f"{stranger.url}gradio_api/upload"
        calls = [pool.submit(stranger.post, "call/classify", nothing) for _ in range(count)]
        files = [("files", (f"{number}.png", b"x")) for number in range(10)]
        forms = [pool.submit(stranger.client.post, upload, files=files) for _ in range(count)]
        assert {call.result().status_code for call in calls} <= {200, 503}
        assert {form.result().status_code for form in forms} <= {200, 413}
        assert "there is no run" in stranger.post("api/run", {"data": ["none"]}).text
        assert "no image was sent" in stranger.call("classify", [None, None])
    what = f"{count:,} calls whose answers nobody fetches, and {count:,} forms of 10 files, 32 at once"
    table.tell("Strangers", what, "the page answers afterwards", "held")


def test_the_server_asks_no_other_host(root: Path, monkeypatch: pytest.MonkeyPatch, began: list[Any], table: Table):
    """No telemetry, no look for a newer version. The browser's requests are counted in `tests/ui`."""
    with visiting("this machine", root, monkeypatch) as owner:
        assert owner.client.get(owner.url).status_code == 200
        assert "no image was sent" in owner.call("classify", [None, None])
        time.sleep(0.5)  # Gradio would send it from a thread
    assert not began
    table.tell("Strangers", "telemetry of the server's libraries", "no other host is asked for", "0 connections")


@pytest.mark.slow
def test_sessions_take_no_more_memory(root: Path, monkeypatch: pytest.MonkeyPatch, table: Table):
    """A thousand in the long form. In the short one a tenth, of which a tenth are kept: each takes 0.17 MB."""
    kept, more = (MAX_SESSIONS, 1000) if LONG else (20, 100)
    monkeypatch.setattr("resnet_cifar.ui.page.MAX_SESSIONS", kept)
    with visiting("for other machines", root, monkeypatch) as stranger:

        def call(times: int) -> None:
            for number in range(times // 2):
                stranger.post("call/runs", {"data": []})
                stranger.post("api/runs", {"data": [], "session_hash": f"{times} {number}"})

        call(kept + 20)
        before = memory()
        call(more)
        took = memory() - before
    assert took < 0.05 * more
    table.tell("Strangers", f"{more:,} sessions more", f"less than {0.05 * more:.0f} MB more", f"{took:.0f} MB more")


_BEFORE_LOGIN = {"/", "/favicon.ico", "/theme.css", "/robots.txt", "/manifest.json"} | {
    f"/gradio_api/{path}" for path in ("user", "token", "app_id", "startup-events", "theme.css")
}
"""What a page with a password shows to everybody: its login, and who one is, which is nobody."""


def test_a_password_covers_every_path(root: Path, monkeypatch: pytest.MonkeyPatch, table: Table):
    """Also those that a later Gradio adds. A heartbeat is open, too, and says that the server is alive."""
    with visiting("--auth, not logged in", root, monkeypatch) as stranger:
        paths = stranger.client.get(f"{stranger.url}openapi.json").json()["paths"]
        asked = [(method, path) for path, methods in paths.items() for method in methods if "heartbeat" not in path]
        answers = {
            path: stranger.client.request(method, stranger.url[:-1] + re.sub("{[^}]*}", "1", path))
            for method, path in asked
        }
    shown = {path.rstrip("/") or "/" for path, answer in answers.items() if answer.status_code == 200}
    assert "/gradio_api/upload" in answers and shown <= _BEFORE_LOGIN
    assert not [path for path, answer in answers.items() if '"one"' in answer.text]
    table.tell("Strangers", "every path, with a password", "only the login is shown", f"{len(asked)} paths: held")
