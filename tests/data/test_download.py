"""The download of the official archive, from a real HTTP server on this machine in place of the official one."""

import hashlib
import re
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from torchvision.datasets import CIFAR100

from resnet_cifar.data import cifar100, cifar100_archive, cifar100_hub
from resnet_cifar.errors import UserError
from tests.builders import result, within
from tests.data.conftest import Quiet, Stalled
from tests.hub.server import HubServer

Serve = Callable[[type[Quiet]], None]


class Trickle(Quiet):
    """Sends the archive in ten blocks, within half a second."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.end_headers()
        with suppress(BrokenPipeError):
            for block in range(10):
                self.wfile.write(content[block * len(content) // 10 : (block + 1) * len(content) // 10])
                time.sleep(0.05)


class Cut(Quiet):
    """Sends half of the archive."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> Path:
    """An archive like the official one, but for its size; torchvision takes it for that."""
    folder, file = tmp_path / "cifar-100-python", tmp_path / "served" / "cifar-100-python.tar.gz"
    folder.mkdir()
    for name in ("train", "test", "meta"):
        (folder / name).write_text(name * 100)
    with tarfile.open(file, "w:gz") as tar:
        tar.add(folder, folder.name)
    known = {name: md5((folder / name).read_bytes()) for name in ("train", "test", "meta")}
    monkeypatch.setattr(CIFAR100, "tgz_md5", md5(file.read_bytes()))
    monkeypatch.setattr(CIFAR100, "train_list", [["train", known["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", known["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": known["meta"]})
    return file


def files(root: Path) -> set[str]:
    return {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}


OFFICIAL = {"cifar-100-python.tar.gz", *(f"cifar-100-python/{name}" for name in ("train", "test", "meta"))}


@pytest.mark.parametrize("source", [None, "official"])
def test_a_download_is_checked_unpacked_and_not_done_twice(archive: Path, serve: Serve, tmp_path: Path, source):
    serve(Quiet)
    root = tmp_path / "data"
    root.mkdir()
    (root / f"{archive.name}.1.partial").touch()  # of a process that was killed
    assert result(cifar100.download(root, source)) == root
    assert files(root) == OFFICIAL
    archive.unlink()
    assert result(cifar100.download(root, source)) == root
    (root / "cifar-100-python" / "test").unlink()
    assert result(cifar100.download(root, source)) == root  # unpacked again


@pytest.mark.parametrize("handler", [Quiet, Cut])
def test_a_download_with_a_wrong_md5_is_refused(archive: Path, serve: Serve, tmp_path: Path, handler: type[Quiet]):
    if handler is Quiet:
        archive.write_bytes(archive.read_bytes()[::-1])
    serve(handler)
    with pytest.raises(UserError, match="cannot download CIFAR-100 .*bytes with the MD5 .*--data-dir"):
        result(cifar100.download(tmp_path / "data", "official"))
    assert files(tmp_path / "data") == set()


@pytest.mark.slow
def test_a_download_that_stalls_still_lets_go(serve: Serve, tmp_path: Path):
    serve(Stalled)
    work = cifar100.download(tmp_path / "data")
    began = time.monotonic()
    for _ in range(5):
        progress = next(work)
    assert time.monotonic() - began < within(2)
    assert (progress.phase, progress.done, progress.total) == ("download", 1000, 169_001_437)
    work.close()


def test_a_server_that_stalls_is_given_up_for_the_hub(
    hub: HubServer, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cifar100_archive, "_SILENCE", 0.1)
    serve(Stalled)
    with pytest.warns(UserWarning, match="timed out.*from the Hugging Face Hub instead"):
        result(cifar100.download(tmp_path / "data"))
    assert files(tmp_path / "data") == {cifar100_hub.NAME}


@pytest.fixture
def slow(archive: Path, hub: HubServer, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """A server that would take hours for 169 MB; and the Hub."""
    monkeypatch.setattr(cifar100_archive, "_WINDOW", 0.1)
    serve(Trickle)
    return hub


@pytest.mark.usefixtures("slow")
def test_a_slow_server_is_given_up_for_the_hub(tmp_path: Path):
    with pytest.warns(UserWarning, match="is slow: .* more than 10 minutes.*from the Hugging Face Hub instead"):
        assert result(cifar100.download(tmp_path / "data")) == tmp_path / "data"
    assert files(tmp_path / "data") == {cifar100_hub.NAME}  # and no partial download, which would still go on


def test_a_slow_server_is_better_than_none(slow: HubServer, tmp_path: Path):
    slow.stop()
    with pytest.warns(UserWarning) as warned:
        assert result(cifar100.download(tmp_path / "data")) == tmp_path / "data"
    first, second = (str(warning.message) for warning in warned if warning.category is UserWarning)
    assert "Hub instead" in first and "Hub can't be reached" in second and "however slow" in second
    assert files(tmp_path / "data") == OFFICIAL


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("source", ["official", None])
def test_who_asks_for_the_official_server_or_has_no_pyarrow_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None
):
    if source is None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.warns(UserWarning) as warned:
        result(cifar100.download(tmp_path / "data", source))
    said = {str(warning.message) for warning in warned if warning.category is UserWarning}
    assert len(said) == 1 and re.search("is slow: .*--data-source hub .*pip install pyarrow", said.pop())
    assert files(tmp_path / "data") == OFFICIAL


def test_a_damaged_copy_of_the_hub_gives_way(archive: Path, serve: Serve, tmp_path: Path):
    serve(Quiet)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / cifar100_hub.NAME).write_bytes(b"not it")
    result(cifar100.download(tmp_path / "data"))
    assert files(tmp_path / "data") == OFFICIAL


def test_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(CIFAR100, "url", "http://127.0.0.1:9/nobody-listens")
    with pytest.raises(UserError, match="refused.*--data synthetic"):
        result(cifar100.download(tmp_path / "data", "official"))
