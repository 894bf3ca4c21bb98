"""The local Hub of the tests: that nothing reaches the real one, and that it takes no damaged file."""

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi, get_token, hf_hub_download

from tests.builders import ROOT
from tests.hub.contents import READ, WRITE
from tests.hub.server import HubServer

CHILD = """
import socket
from huggingface_hub import HfApi, snapshot_download
resolve = socket.getaddrinfo
def only_here(host, *more, **options):
    assert host == "127.0.0.1", host
    return resolve(host, *more, **options)
socket.getaddrinfo = only_here
HfApi().upload_file(path_or_fileobj=b"2", path_in_repo="w.bin", repo_id="me/name")
print(snapshot_download("me/name"))
"""


@pytest.mark.process
def test_clients_of_this_process_and_of_a_child_reach_no_other_hub(hub: HubServer, tmp_path: Path, monkeypatch):
    hub.put("models", "me/name", {"a": b"1"}, visibility="private")
    monkeypatch.delenv("HF_TOKEN")
    assert get_token() is None  # not the one of the person whose machine this is
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(READ)
    assert HfApi().whoami()["auth"]["accessToken"]["role"] == "read"
    assert HfApi().create_repo("me/name", exist_ok=True).endpoint == hub.url
    assert Path(hf_hub_download("me/name", "a")).is_relative_to(tmp_path)
    hub.requests.clear()
    environment = hub.environment(tmp_path / "child", HF_TOKEN=WRITE)
    child = subprocess.run([sys.executable, "-c", CHILD], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert child.returncode == 0, child.stderr
    folder = Path(child.stdout.strip())
    assert folder.is_relative_to(tmp_path / "child")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == hub.files("models", "me/name")
    assert "/preupload/" in hub.requests[0].path and {request.status for request in hub.requests} == {200}


def test_a_large_file_whose_sha256_is_wrong_is_refused(hub: HubServer):
    hub.put("models", "me/name", {})
    assert httpx2.put(f"{hub.url}/lfs/models/me/name/{'0' * 64}", content=b"1").status_code == 400
    assert not hub.repo("models", "me/name").lfs
