"""Strangers: they ask a page by plain HTTP, everything that it can be asked, in each way of serving it."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from itsdangerous import TimestampSigner

from resnet_cifar.ui.page import serve
from tests.hub.login import CLIENT
from tests.ui.conftest import free_port

TOKEN = "hf_of_the_machine"
_OWNER = "lab"
_SPACE = {"SYSTEM": "spaces", "SPACE_ID": f"{_OWNER}/app", "OPENID_PROVIDER_URL": "http://127.0.0.1:9", **CLIENT}

NAMES = (
    *("..", "../one", "one/../one", "/etc/passwd", "one/", "./one", "", " one", "one\n", "a\0b", "x" * 300, "-rf"),
    *(
        "оne",
        "one\u200b",
        "ｏｎｅ",
        "ONE",
        "..%2fone",
        "~",
        "$(id)",
        "<img src=//far.away/x>",
        "\ud800",
        "{root}/one",
        "me/one",
    ),
)
"""Names of runs, models and repos that are none. A Cyrillic letter, an invisible one and wide ones are among them."""
VALUES: tuple[Any, ...] = (
    *("one", None, 5, True, [["x"]], {"open": "one", "shown": ["..", "one"], "path": "/etc/passwd", "run": ".."}),
    {"path": "http://far.away/x", "url": "http://far.away/x", "meta": {"_type": "gradio.FileData"}},
    {"path": "{root}/one/recipe.json", "meta": {"_type": "gradio.FileData"}},
    *NAMES,
)
"""What a handler is given in place of each of its values."""
AS_SHOWN = "as the page has it"
_FACTS = ("name", "to", "text", "tags", "colour", "question", "models", "images", "id", "tab", "run", "split", "kind")


@dataclass(frozen=True)
class Answer:
    """What came back: of which handler, with which status."""

    handler: str
    status: int
    text: str


class Stranger:
    """Asks one page. `cookie`: the session of somebody who has logged in at the Hub."""

    def __init__(self, url: str, root: Path, cookie: str | None = None) -> None:
        self.url = url
        self.root = root
        headers = {"connection": "close"} | ({"cookie": f"session={cookie}"} if cookie else {})
        self.client = httpx.Client(timeout=60, headers=headers)

    def post(self, path: str, content: Any) -> httpx.Response:
        """Post JSON, halves of surrogates included."""
        text = json.dumps(content).replace("{root}", str(self.root))
        return self.client.post(
            f"{self.url}gradio_api/{path}", content=text, headers={"content-type": "application/json"}
        )

    def call(self, name: str, data: list[Any]) -> str:
        """Call an endpoint of the API, and return what comes of it."""
        answer = self.post(f"call/{name}", {"data": data})
        if answer.status_code != 200:
            return answer.text
        return self.client.get(f"{self.url}gradio_api/call/{name}/{answer.json()['event_id']}").text

    def config(self) -> dict[str, Any]:
        """What the page is made of; nothing if it is not told."""
        answer = self.client.get(f"{self.url}config")
        return dict(answer.json()) if answer.status_code == 200 else {}

    def ask_all(self, config: dict[str, Any], value: Any) -> Iterator[Answer]:
        """Call every handler that the page's config names, and every function of its components.

        With `value`; or, if it is AS_SHOWN, with what the page's components hold, and events about the run `one`.
        """
        shown = {component["id"]: component["props"].get("value") for component in config["components"]}
        facts = dict.fromkeys(_FACTS, value)
        if value == AS_SHOWN:
            facts = dict.fromkeys(_FACTS, "one") | {"split": "test", "kind": "predictions"}
        for component in config["components"]:
            for name in component["props"].get("server_fns") or []:
                body = {"component_id": component["id"], "fn_name": name, "session_hash": "stranger"}
                for data in (facts, value):
                    answer = self.post("component_server", body | {"data": data})
                    yield Answer(f"{name} of {component['id']}", answer.status_code, answer.text)
        for handler in config["dependencies"]:
            values = [shown.get(number) if value == AS_SHOWN else value for number in handler["inputs"]]
            for place in handler["component_prop_inputs"]:
                values[place] = {"value": values[place]}
            body = {"fn_index": handler["id"], "data": values, "event_data": facts, "session_hash": "stranger"}
            yield self.ask(f"{handler['api_name']} {handler['id']}", body, handler["queue"])

    def ask(self, handler: str, body: dict[str, Any], queue: bool) -> Answer:
        """Ask one handler, through the queue if it has one."""
        if not queue:
            answer = self.post("api/predict", body)
            return Answer(handler, answer.status_code, answer.text)
        joined = self.post("queue/join", body)
        if joined.status_code != 200:
            return Answer(handler, joined.status_code, joined.text)
        return Answer(handler, 200, self._told())

    def _told(self) -> str:
        """What comes of a queued event. The stream may stay open, or break at an answer that Gradio cannot write."""
        lines = []
        with (
            suppress(httpx.RemoteProtocolError),
            self.client.stream("GET", f"{self.url}gradio_api/queue/data?session_hash=stranger") as stream,
        ):
            for line in stream.iter_lines():
                lines.append(line)
                if "process_completed" in line:
                    break
        return "\n".join(lines)


def login(user: str, secret: str = CLIENT["OAUTH_CLIENT_SECRET"], seconds: float = 3600) -> str:
    """The cookie of a visitor who has logged in at the Hub, as Gradio signs it."""
    info = {"access_token": f"hf_oauth_of_{user}", "expires_at": time.time() + seconds}
    info["userinfo"] = {"preferred_username": user, "orgs": []}
    signer = TimestampSigner(sha256(f"{secret}-v4".encode()).hexdigest())
    return signer.sign(base64.b64encode(json.dumps({"oauth_info": info}).encode())).decode()


WAYS: dict[str, tuple[dict[str, Any], str | None]] = {
    "--read-only": ({"read_only": True}, None),
    "for other machines": ({"host": "0.0.0.0"}, None),
    "--auth, not logged in": ({"host": "0.0.0.0", "auth": ("me", "secret")}, None),
    "--share": ({"share": True}, None),
    "a Space": ({"host": "0.0.0.0"}, ""),
    "a Space, logged in as another": ({"host": "0.0.0.0"}, login("you")),
    "a Space without a GPU, logged in as another": ({"host": "0.0.0.0"}, login("you")),
    "a Space, with the owner's login of yesterday": ({"host": "0.0.0.0"}, login(_OWNER, seconds=-1)),
    "a Space, with a forged login": ({"host": "0.0.0.0"}, login(_OWNER, secret="guessed")),
}
"""Ways of serving a page to those who may change nothing: options of `serve`, and for a Space a cookie."""
OWNERS: dict[str, tuple[dict[str, Any], str | None]] = {
    "this machine": ({}, None),
    "a Space, logged in as its owner": ({"host": "0.0.0.0"}, login(_OWNER)),
    "a Space without a GPU, logged in as its owner": ({"host": "0.0.0.0"}, login(_OWNER)),
}
"""Ways for those who may change runs: that the same questions do something then shows that they are the right ones."""


@contextmanager
def visiting(way: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stranger]:
    """Serve a page over `root` in one of the ways."""
    options, cookie = (WAYS | OWNERS)[way]
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    if cookie is not None:
        for name, value in _SPACE.items():
            monkeypatch.setenv(name, value)
            monkeypatch.setattr(f"gradio.oauth.{name}", value, raising=False)  # read when it was imported
        monkeypatch.setattr("gradio.http_server.watchfn_spaces", lambda _: None)  # would wait for changes of the code
        why_not = "No GPU." if "without a GPU" in way else None
        monkeypatch.setattr("resnet_cifar.ui.page._why_no_training_on_space", lambda: why_not)
    monkeypatch.setattr("gradio.networking.setup_tunnel", lambda **_: "https://shared.gradio.live")
    page = serve(root, port=free_port(), wait=False, **{"host": "127.0.0.1"} | options)
    try:
        yield Stranger(f"http://127.0.0.1:{page.server_port}/", root, cookie)
    finally:
        page.close()


def content(root: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}
