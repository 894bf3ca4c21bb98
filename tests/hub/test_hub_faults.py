"""The Hub of the tests when something goes wrong, as the real client takes it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
)

from tests.builders import within
from tests.hub.contents import WRITE
from tests.hub.server import HubServer
from tests.hub.test_hub_server import LARGE, add, asked, status


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as hub:
        hub.patch(monkeypatch, tmp_path / "home")
        yield hub


@pytest.fixture
def me(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.url, token=WRITE)


def test_faults_come_as_often_as_asked_for_and_where(hub, me):
    hub.put("models", "me/name", {})
    hub.fail("POST", "/commit/", 500, times=2, headers={"X-Error-Message": "on fire"})
    for _ in range(2):
        with pytest.raises(HfHubHTTPError, match="on fire") as error:
            me.create_commit("me/name", operations=add(a=b"1"), commit_message="1")
        assert status(error) == 500
    assert me.create_commit("me/name", operations=add(a=b"1"), commit_message="1")
    assert asked(hub, "POST", "/commit/") == [500, 500, 200] and len(hub.repo("models", "me/name").history()) == 3
    hub.fail("PUT", "/lfs/", 400)
    with pytest.raises(RuntimeError, match="Error while uploading 'w.bin'") as wrapped:
        me.create_commit("me/name", operations=add(w__bin=b"1"), commit_message="2")
    assert isinstance(wrapped.value.__cause__, BadRequestError)


def test_the_client_tries_an_upload_again_that_was_refused_or_cut(hub, me):
    """It waits a second before each."""
    hub.put("models", "me/name", {})
    hub.fail("POST", "/preupload/", 503)
    hub.cut("PUT", "/lfs/", after_bytes=LARGE // 2)
    content = os.urandom(LARGE)
    me.create_commit("me/name", operations=add(large=content), commit_message="1")
    assert asked(hub, "POST", "/preupload/") == [503, 200] and asked(hub, "PUT", "/lfs/") == [None, 200]
    assert hub.files("models", "me/name")["large"] == content


def test_a_commit_that_is_cut_is_not_tried_again_and_may_have_been_made(hub, me):
    hub.put("models", "me/name", {})
    for in_answer, commits in ((False, 2), (True, 3)):
        hub.cut("POST", "/commit/", in_answer=in_answer)
        with pytest.raises(httpx2.RemoteProtocolError):
            me.create_commit("me/name", operations=add(a=b"1"), commit_message="1")
        assert len(hub.repo("models", "me/name").history()) == commits
    me.create_commit("me/name", operations=add(a=b"1"), commit_message="1")
    assert len(hub.repo("models", "me/name").history()) == 3, "nothing was left to commit"


def test_a_download_goes_on_where_it_was_cut(hub, me):
    """The client writes pieces of ten MiB, and waits a second before it goes on."""
    content = os.urandom(12_000_000)
    hub.put("models", "me/name", {"large": content})
    hub.cut("GET", "/resolve/", after_bytes=11_000_000)
    assert Path(me.hf_hub_download("me/name", "large")).read_bytes() == content
    assert asked(hub, "GET", "/resolve/") == [200, 206]


def test_a_download_that_is_refused_succeeds_the_next_time(hub, me, tmp_path):
    hub.put("models", "me/name", {"a": b"1", "b": b"2"})
    hub.fail("GET", "/resolve/", 503)
    with pytest.raises(HfHubHTTPError):
        me.snapshot_download("me/name")
    assert Path(me.snapshot_download("me/name"), "b").read_bytes() == b"2"
    hub.fail("GET", "/revision/", 500)
    with pytest.raises(LocalEntryNotFoundError):
        me.snapshot_download("me/name", cache_dir=tmp_path / "empty")


def test_a_pause_and_a_client_that_does_not_wait(hub, me):
    hub.put("models", "me/name", {"a": b"1"})
    hub.delay("GET", "/api/models/", 5)
    began = time.monotonic()
    with pytest.raises(httpx2.ReadTimeout):
        me.model_info("me/name", timeout=0.2)
    hub.delay("GET", "/api/models/", 0.2, after_bytes=10)
    assert me.model_info("me/name").id == "me/name"
    assert 0.4 < time.monotonic() - began < within(2)


def test_it_can_be_gone_and_come_back(hub, me):
    hub.put("models", "me/name", {"a": b"1"})
    assert me.model_info("me/name")
    hub.stop()
    with pytest.raises(httpx2.ConnectError):
        me.model_info("me/name")
    hub.start()
    assert me.model_info("me/name")


def test_lfs_takes_only_what_it_was_promised(hub, me):
    hub.put("models", "me/name", {})
    assert httpx2.put(f"{hub.url}/lfs/models/me/name/{'0' * 64}", content=b"1").status_code == 400
    assert not hub.repo("models", "me/name").lfs
