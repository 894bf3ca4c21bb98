"""The Hub of the tests, asked by the real client."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard, get_token, hf_hub_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.builders import ROOT
from tests.hub.contents import FINE, ORG, READ, WRITE, Token
from tests.hub.server import HubServer

LARGE = 10_000_001  # bytes from which a file of any name goes by LFS


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as hub:
        hub.patch(monkeypatch, tmp_path / "home")
        yield hub


@pytest.fixture
def me(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.url, token=WRITE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file that is large, one that is LFS by its name, an empty one, one in a folder, a card."""
    root = tmp_path / "folder"
    (root / "deep er").mkdir(parents=True)
    (root / "large.dat").write_bytes(os.urandom(LARGE))
    (root / "model.safetensors").write_bytes(b"weights")
    (root / "empty").write_bytes(b"")
    (root / "deep er" / "ü.txt").write_text("ä")
    (root / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    return root


def contents(folder: str | Path) -> dict[str, bytes]:
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def add(**files: bytes) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(name.replace("__", "."), content) for name, content in files.items()]


def asked(hub: HubServer, method: str, path: str) -> list[int | None]:
    """What such requests were answered."""
    return [request.status for request in hub.requests if request.method == method and path in request.path]


def status(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


def test_a_folder_goes_up_in_one_commit_and_comes_back_to_the_bit(hub, me, folder, tmp_path):
    me.create_repo("me/name", private=True)
    assert me.model_info("me/name").private and hub.repo("models", "me/name").private
    made = me.upload_folder(repo_id="me/name", folder_path=folder, commit_message="All of it")
    sent = contents(folder)
    assert hub.files("models", "me/name") == sent | {".gitattributes": hub.files("models", "me/name")[".gitattributes"]}
    assert set(hub.repo("models", "me/name").lfs) == {
        file.lfs.sha256 for file in me.list_repo_tree("me/name", recursive=True) if file.lfs
    }
    assert len(asked(hub, "PUT", "/lfs/")) == 2
    assert [commit.message for commit in hub.repo("models", "me/name").history()] == ["All of it", "initial commit"]
    assert sorted(me.list_repo_files("me/name")) == sorted([*sent, ".gitattributes"])
    got = me.snapshot_download("me/name", cache_dir=tmp_path / "cache")
    assert Path(got).name == made.oid == me.model_info("me/name").sha
    assert contents(got) == hub.files("models", "me/name")


def test_what_is_there_already_is_not_sent_again(hub, me, folder):
    me.create_repo("me/name")
    first = me.upload_folder(repo_id="me/name", folder_path=folder)
    hub.requests.clear()
    assert me.upload_folder(repo_id="me/name", folder_path=folder).oid == first.oid
    (folder / "empty").write_bytes(b"no more")
    assert me.upload_folder(repo_id="me/name", folder_path=folder).oid != first.oid
    assert not asked(hub, "PUT", "") and len(asked(hub, "POST", "/commit/")) == 1


def test_revisions(hub, me, tmp_path):
    first = hub.put("models", "me/name", {"a": b"1", "b": b"1"})
    me.create_commit(
        "me/name",
        operations=[*add(a=b"2"), CommitOperationDelete("b")],
        commit_message="2",
        commit_description="and more",
        parent_commit=first.id,
    )
    assert hub.repo("models", "me/name").history()[0].description == "and more"
    assert Path(me.hf_hub_download("me/name", "a")).read_bytes() == b"2"
    assert Path(me.hf_hub_download("me/name", "a", revision=first.id)).read_bytes() == b"1"
    old = contents(me.snapshot_download("me/name", revision=first.id, allow_patterns="?"))
    assert old == {"a": b"1", "b": b"1"} == {path: hub.files("models", "me/name", first.id)[path] for path in "ab"}
    assert not me.file_exists("me/name", "b")
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as moved:
        me.create_commit("me/name", operations=add(a=b"3"), commit_message="3", parent_commit=first.id)
    assert status(moved) == 412 and hub.files("models", "me/name")["a"] == b"2"


def test_a_pull_request_leaves_main_alone(hub, me):
    hub.put("models", "me/name", {"a": b"1"})
    made = me.create_commit("me/name", operations=add(a=b"2", w__bin=b"3"), commit_message="Please", create_pr=True)
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    assert [pr.message for pr in hub.repo("models", "me/name").prs] == ["Please"]
    assert hub.files("models", "me/name")["a"] == b"1" and hub.files("models", "me/name", "refs/pr/1")["a"] == b"2"
    assert Path(me.hf_hub_download("me/name", "w.bin", revision="refs/pr/1")).read_bytes() == b"3"


def test_a_space_beside_a_model_of_the_same_name(hub, me, folder):
    hub.put("models", "me/name", {"a": b"1"})
    me.create_repo("me/name", repo_type="space", space_sdk="gradio", private=True)
    assert hub.files("spaces", "me/name")["README.md"] == b"---\nsdk: gradio\n---\n"
    me.upload_folder(repo_id="me/name", repo_type="space", folder_path=folder)
    assert contents(me.snapshot_download("me/name", repo_type="space")).items() >= contents(folder).items()
    assert me.space_info("me/name").sdk == "gradio"
    me.add_space_secret("me/name", "KEY", "hidden")
    assert me.add_space_variable("me/name", "MODEL", "me/other")["MODEL"].value == "me/other"
    assert (
        me.get_space_secrets("me/name")["KEY"].key == "KEY" and hub.repo("spaces", "me/name").secrets["KEY"] == "hidden"
    )
    me.update_repo_settings("me/name", repo_type="space", private=False)
    assert not hub.repo("spaces", "me/name").private
    assert "large.dat" not in hub.files("models", "me/name")


def test_who_may_do_what(hub):
    for name in ("me/name", "me/fine", "org/name"):
        hub.put("models", name, {"a": b"1"}, visibility="private")
    may = {}
    for token in (WRITE, READ, FINE, ORG):
        api = HfApi(endpoint=hub.url, token=token)
        for name in ("me/name", "me/fine", "org/name"):
            may[token, name] = ""
            for letter, write in (("r", False), ("w", True)):
                try:
                    api.auth_check(name, write=write)
                    may[token, name] += letter
                except HfHubHTTPError as error:
                    assert error.response.status_code == (403 if may[token, name] else 404)
    assert may == {
        (WRITE, "me/name"): "rw",
        (WRITE, "me/fine"): "rw",
        (WRITE, "org/name"): "",
        (READ, "me/name"): "r",
        (READ, "me/fine"): "r",
        (READ, "org/name"): "",
        (FINE, "me/name"): "",
        (FINE, "me/fine"): "rw",
        (FINE, "org/name"): "",
        (ORG, "me/name"): "",
        (ORG, "me/fine"): "",
        (ORG, "org/name"): "rw",
    }


def test_whoami_tells_the_rights(hub, me):
    def access(token: str) -> dict:
        return me.whoami(token)["auth"]["accessToken"]

    assert me.whoami()["name"] == "me" and access(WRITE)["role"] == "write" and access(READ)["role"] == "read"
    hub.tokens["hf_app"] = Token(role="fineGrained", scope=("me", "spaces/me/app"), permissions=("repo.content.read",))
    scopes = access("hf_app")["fineGrained"]["scoped"]
    assert [(scope["entity"]["type"], scope["entity"]["name"]) for scope in scopes] == [
        ("user", "me"),
        ("space", "me/app"),
    ]
    assert scopes[0]["permissions"] == ["repo.content.read"]
    assert access(FINE)["fineGrained"]["scoped"][0]["entity"]["type"] == "model"
    assert me.whoami(ORG)["orgs"][0]["name"] == "org"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        me.whoami("hf_stale")


def test_nobody_learns_of_a_private_repo(hub, me):
    hub.put("models", "me/secret", {"a": b"1"}, visibility="private")
    hub.put("models", "me/open", {"a": b"1"})
    for token, code in ((False, 401), (ORG, 404)):
        stranger = HfApi(endpoint=hub.url, token=token)
        for name in ("me/secret", "me/nothing"):
            with pytest.raises(RepositoryNotFoundError) as error:
                stranger.model_info(name)
            assert status(error) == code
            with pytest.raises(RepositoryNotFoundError):
                stranger.hf_hub_download(name, "a")
            with pytest.raises(RepositoryNotFoundError):
                stranger.snapshot_download(name)
        assert stranger.model_info("me/open").id == "me/open"
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as stale:
        me.model_info("me/open", token="hf_stale")
    assert status(stale) == 401 and not isinstance(stale.value, RepositoryNotFoundError)
    assert {request.token for request in hub.requests} == {None, ORG, "hf_stale"}


def test_who_may_not_create_or_change(hub, me):
    hub.put("models", "me/name", {})
    with pytest.raises(HfHubHTTPError, match="already created") as taken:
        me.create_repo("me/name")
    assert status(taken) == 409 and me.create_repo("me/name", exist_ok=True).repo_id == "me/name"
    for token, name, code in (
        (READ, "me/new", 403),
        (FINE, "me/fine", 403),
        (WRITE, "org/new", 403),
        (False, "me/new", 401),
    ):
        with pytest.raises(HfHubHTTPError) as error:
            me.create_repo(name, token=token)
        assert status(error) == code
    assert me.create_repo("me/name", token=READ, exist_ok=True).repo_id == "me/name"
    assert me.create_repo("org/new", token=ORG).repo_id == "org/new"
    with pytest.raises(HfHubHTTPError, match="create_pr=1") as error:
        me.create_commit("me/name", operations=add(a=b"1"), commit_message="no", token=READ)
    assert status(error) == 403
    hub.tokens["hf_you"] = Token(user="you")
    assert me.create_commit("me/name", operations=add(a__bin=b"1"), commit_message="?", token="hf_you", create_pr=True)
    assert set(hub.files("models", "me/name")) == {".gitattributes"}


def test_what_is_not_there(hub, me):
    hub.put("models", "me/name", {"a": b"1"})
    with pytest.raises(RemoteEntryNotFoundError):
        me.hf_hub_download("me/name", "b")
    with pytest.raises(RevisionNotFoundError):
        me.snapshot_download("me/name", revision="other")
    with pytest.raises(RevisionNotFoundError):
        me.create_commit("me/name", operations=add(a=b"1"), commit_message="1", revision="other")
    with pytest.raises(RemoteEntryNotFoundError):
        me.create_commit("me/name", operations=[CommitOperationDelete("b")], commit_message="-b")
    with pytest.raises(HfHubHTTPError, match="no word for GET") as error:
        me.list_repo_refs("me/name")
    assert status(error) == 501


def test_a_card_is_checked_before_anything_is_sent(hub, me):
    hub.put("models", "me/name", {})
    with pytest.raises(ValueError, match="Invalid metadata"):
        me.create_commit("me/name", operations=add(README__md=b"---\na: [\n---\n"), commit_message="card")
    with pytest.warns(UserWarning, match="empty or missing yaml"):
        me.create_commit("me/name", operations=add(README__md=b"no header"), commit_message="card")
    assert [request.path for request in hub.requests].count("/api/validate-yaml") == 2
    assert "no header" in ModelCard.load("me/name").content


def test_the_client_of_this_process_and_of_a_child_ask_nobody_else(hub, tmp_path):
    hub.put("models", "me/name", {"a": b"1"}, visibility="private")
    assert get_token() is None
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(READ)
    assert HfApi().whoami()["auth"]["accessToken"]["role"] == "read"
    assert HfApi().create_repo("me/name", exist_ok=True).endpoint == hub.url
    assert Path(hf_hub_download("me/name", "a")).is_relative_to(tmp_path)
    hub.requests.clear()
    code = """
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
    environment = hub.environment(tmp_path / "child", HF_TOKEN=WRITE)
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert child.returncode == 0, child.stderr
    assert contents(child.stdout.strip()) == hub.files("models", "me/name")
    assert Path(child.stdout).is_relative_to(tmp_path / "child")
    assert "/preupload/" in hub.requests[0].path and {request.status for request in hub.requests} == {200}
