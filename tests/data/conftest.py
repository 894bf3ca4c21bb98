"""Where CIFAR-100 is downloaded from: servers on this machine in place of the official one and of the Hub."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import file_download
from huggingface_hub.utils import _http
from torchvision.datasets import CIFAR100

from resnet_cifar.data import cifar100_hub
from tests.data import parquet
from tests.hub.contents import WRITE
from tests.hub.server import HubServer


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Stalled(Quiet):
    """Sends a little, and then nothing for longer than anybody waits."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"x" * 1000)
        time.sleep(30)


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type[Quiet]], None]]:
    """Starts an official server, which sends the files in the folder `served`."""
    servers: list[ThreadingHTTPServer] = []
    (tmp_path / "served").mkdir()

    def start(handler: type[Quiet]) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path / "served"))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/cifar-100-python.tar.gz"
        monkeypatch.setattr(CIFAR100, "url", url)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub that has a few images as CIFAR-100, for a process that is logged in; the official server is down."""
    monkeypatch.setattr(cifar100_hub, "DIGESTS", parquet.DIGESTS)
    monkeypatch.setattr(CIFAR100, "url", "http://127.0.0.1:9/nobody-listens")
    for client in (file_download, _http):  # no pause between two attempts
        monkeypatch.setattr(client, "time", SimpleNamespace(**vars(time) | {"sleep": lambda _: None}))
    with HubServer() as hub:
        hub.patch(monkeypatch, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", WRITE)
        hub.put("datasets", cifar100_hub.REPO, parquet.GOOD)
        yield hub
