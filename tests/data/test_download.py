"""The download, with torchvision's own code and a real HTTP server on this machine in place of the official one."""

import hashlib
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision.datasets import CIFAR100

from resnet_cifar.data import cifar100
from resnet_cifar.errors import UserError
from tests.builders import result, within


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Slow(Quiet):
    """Sends a little, and then nothing for longer than anybody waits."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"x" * 1000)
        time.sleep(30)


@pytest.fixture
def archive(cifar100_dir: Path, tmp_path: Path) -> Path:
    file = tmp_path / "served" / "cifar-100-python.tar.gz"
    file.parent.mkdir()
    with tarfile.open(file, "w:gz", compresslevel=0) as tar:
        tar.add(cifar100_dir / "cifar-100-python", "cifar-100-python")
    return file


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    servers: list[ThreadingHTTPServer] = []

    def start(handler: type[Quiet]) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path / "served"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/cifar-100-python.tar.gz"
        monkeypatch.setattr(CIFAR100, "url", url)

    yield start
    for server in servers:
        server.shutdown()


@pytest.mark.slow
def test_a_download_is_checked_unpacked_and_not_done_twice(archive, serve, tmp_path, monkeypatch):
    """Packs and unpacks 180 MB: about four seconds."""
    monkeypatch.setattr(CIFAR100, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    serve(Quiet)
    root = tmp_path / "data"
    assert result(cifar100.download(root)) == root
    assert (root / "cifar-100-python" / "train").is_file()
    archive.unlink()
    assert result(cifar100.download(root)) == root


def test_a_download_with_a_wrong_md5_is_refused(serve, tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "cifar-100-python.tar.gz").write_bytes(b"not it")
    serve(Quiet)
    with pytest.raises(UserError, match="cannot download CIFAR-100 .*--data-dir"):
        result(cifar100.download(tmp_path / "data"))


@pytest.mark.slow
def test_a_download_that_stalls_still_lets_go(serve, tmp_path):
    (tmp_path / "served").mkdir()
    serve(Slow)
    work = cifar100.download(tmp_path / "data")
    began = time.monotonic()
    for _ in range(5):
        progress = next(work)
    assert time.monotonic() - began < within(2)
    assert (progress.phase, progress.total) == ("download", 169_001_437)
    work.close()


def test_no_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR100, "url", "http://127.0.0.1:9/nobody-listens")
    with pytest.raises(UserError, match="refused.*--data synthetic"):
        result(cifar100.download(tmp_path / "data"))
