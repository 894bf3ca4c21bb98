"""What visitors may send and leave behind: bounded bodies, uploads and sessions."""

import resource
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio.utils import get_upload_folder

from resnet_cifar.errors import UserError
from resnet_cifar.ui import cleaning, page, upload_folder
from resnet_cifar.ui.limits import MAX_BODY, MAX_VALUES
from resnet_cifar.ui.page import max_megabytes, rights_of, serve
from resnet_cifar.ui.upload_folder import Uploads, private_folder
from tests.builders import memory, wait
from tests.ui.conftest import free_port

MEGABYTE = 2**20


def chunked(size: int) -> Iterator[bytes]:
    """A body that takes no memory; its length is not announced unless a header says it."""
    for _ in range(size // 65536):
        yield bytes(65536)


def form(files: int) -> dict[str, Any]:
    """A form with files of 1 MB, as a body whose length is not announced."""

    def body() -> Iterator[bytes]:
        for number in range(files):
            yield f'--x\r\nContent-Disposition: form-data; name="files"; filename="{number}"\r\n\r\n'.encode()
            yield from chunked(MEGABYTE)
            yield b"\r\n"
        yield b"--x--\r\n"

    return {"content": body(), "headers": {"content-type": "multipart/form-data; boundary=x"}}


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", ["call/runs", "api/predict", "component_server", "queue/join", "cancel"])
def test_a_large_request_is_refused_before_it_is_read(url: str, path: str, announced: bool):
    before = memory()
    length = {"content-length": str(50 * MEGABYTE)} if announced else {}
    headers = {"content-type": "application/json", **length}
    answer = httpx.post(f"{url}gradio_api/{path}", content=chunked(50 * MEGABYTE), headers=headers)
    assert answer.status_code == 413 and f"up to {MAX_BODY:,} bytes" in answer.text
    assert memory() < before + 20


@pytest.mark.parametrize("path", ["upload", "component_server"])
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_a_form_of_many_files_is_refused(url: str, path: str, size: int):
    """Each is an open file until all have arrived, and a process may have as few as 1,024. In pieces of any size."""
    names = [f'--ab\r\nContent-Disposition: form-data; name="files"; filename="{n}"\r\n\r\nx\r\n' for n in range(20)]
    form = "".join([*names, "--ab--\r\n"]).encode()
    pieces = (form[start : start + size] for start in range(0, len(form), size))
    headers = {"content-type": "multipart/form-data; boundary=ab"}
    answer = httpx.post(f"{url}gradio_api/{path}", content=pieces, headers=headers)
    assert answer.status_code == 413 and "up to 10 parts" in answer.text


def test_a_request_of_many_small_values_is_refused(url: str):
    """Gradio would make a hundred times as many bytes of them, and keep those."""
    body = '{"data": [[' + "[]," * MAX_VALUES + "0], null]}"
    assert len(body) < MAX_BODY
    answer = httpx.post(
        f"{url}gradio_api/call/classify", content=body.encode(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413 and f"{MAX_VALUES:,} values" in answer.text


def test_the_largest_request_of_the_page_is_accepted(url: str):
    frame = {"data": [None, "x" * (MAX_BODY - 100)]}
    assert httpx.post(f"{url}gradio_api/call/classify", json=frame).status_code == 200


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_upload_is_refused_and_leaves_nothing(tmp_path: Path, announced: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(page, "max_megabytes", lambda _: 1)
    app = serve(tmp_path / "runs", "127.0.0.1", free_port(), wait=False)
    sent = {"files": {"files": bytes(2 * MEGABYTE)}} if announced else form(files=2)
    answer = httpx.post(f"{app.local_url}gradio_api/upload", **sent)
    assert answer.status_code == 413 and "a file may have up to 1 MB" in answer.text
    assert not [file for file in Path(get_upload_folder()).rglob("*") if file.is_file()]
    assert httpx.post(f"{app.local_url}gradio_api/upload", files={"files": bytes(MEGABYTE)}).status_code == 200
    app.close()


@pytest.mark.slow
def test_uploads_are_bounded_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Many at once, so that each finds room when it begins. Later the oldest make room."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(page, "max_megabytes", lambda _: 1)
    monkeypatch.setattr(page, "_FULL", 4)
    app = serve(tmp_path / "runs", "127.0.0.1", free_port(), wait=False)

    def upload(number: int) -> httpx.Response:
        return httpx.post(f"{app.local_url}gradio_api/upload", files={"files": bytes([number]) * MEGABYTE}, timeout=60)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(upload, range(24)))
    files = [file for file in Path(get_upload_folder()).rglob("*") if file.is_file()]
    assert 1 <= len(files) <= 4 and sum(file.stat().st_size for file in files) <= 4 * MEGABYTE
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {answer.status_code for answer in refused} == {413} and "no room for more uploads" in refused[0].text
    monkeypatch.setattr(upload_folder, "_YOUNG", 0)  # as if a minute had passed
    wait(lambda: upload(99).status_code == 200)
    app.close()


def test_the_folder_of_uploads_is_private_and_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    folder = private_folder()
    assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
    assert private_folder() == folder == Path(get_upload_folder())
    for name in ("old/a.png", "new/b.png", "tmp-of-a-cut-upload"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(bytes(100))
    (folder / "empty").mkdir()
    uploads = Uploads(folder, 10**6)
    uploads.sweep()
    assert len(list(folder.rglob("*"))) == 6 and not uploads.is_full()
    monkeypatch.setattr(upload_folder, "KEPT", -1)
    uploads.sweep()
    uploads.sweep()  # folders that the first one emptied
    assert folder.is_dir() and not list(folder.iterdir())


def test_a_folder_of_another_user_takes_no_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    folder = private_folder()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with pytest.raises(UserError, match="for uploads: it is no folder. Set GRADIO_TEMP_DIR"):
        private_folder()


def test_only_those_who_may_train_send_archives():
    assert max_megabytes(rights_of(local=True, password=False, read_only=False, space=None)) == 2_000
    assert max_megabytes(rights_of(local=False, password=True, read_only=False, space=None)) == 2_000
    for how in ((False, False, False, None), (True, False, True, None), (False, False, False, "me/app")):
        assert max_megabytes(rights_of(*how)) == 50


NEVER_ASKED = (
    *("file=http://far.away/x", "file/https://far.away/x", "proxy=http://far.away/x", "upload_progress?upload_id=1"),
    *("deep_link?session_hash=1", "dev/reload", "stream/1/2/3/playlist.m3u8", "run-history/records"),
)


@pytest.mark.parametrize("path", NEVER_ASKED)
def test_what_the_page_never_asks_for_is_not_served(url: str, path: str):
    answer = httpx.get(f"{url}gradio_api/{path}", timeout=5)
    assert (answer.status_code, answer.text) == (404, "this page does not serve that")


def test_the_server_fetches_nothing_for_a_visitor(url: str, monkeypatch: pytest.MonkeyPatch):
    """Gradio would download an address that stands in place of an upload, if it is no local one, whatever its size."""
    fetched = []

    async def fetch(address: str, **_: Any) -> None:
        fetched.append(address)

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_get", fetch)
    image = {"path": "http://93.184.216.34/x.png", "meta": {"_type": "gradio.FileData"}}
    assert "only uploads are accepted" in ask(url, "classify", [image, None])
    assert not fetched


def ask(url: str, name: str, data: list[Any]) -> str:
    """Answer to a call without Gradio's client; it has a session of its own."""
    called = httpx.post(f"{url}gradio_api/call/{name}", json={"data": data})
    return httpx.get(f"{url}gradio_api/call/{name}/{called.json()['event_id']}", timeout=60).text


@pytest.mark.slow
def test_sessions_and_answers_are_forgotten(tmp_path: Path):
    app = serve(tmp_path, "127.0.0.1", free_port(), wait=False)
    queue, sessions = app._queue, app.state_holder.session_data
    call = {"data": [], "fn_index": next(number for number, fn in app.fns.items() if fn.api_name == "runs")}
    for session in ("page", "unread"):
        for _ in range(2 if session == "page" else cleaning._UNREAD + 1):
            httpx.post(f"{app.local_url}gradio_api/queue/join", json=call | {"session_hash": session})
    assert "complete" in ask(app.local_url, "runs", [])
    wait(lambda: not queue.event_ids_to_events)
    cleaning.forget(app.app)
    assert {"page", "unread"} == set(sessions), "a call without a session is over when its answer was fetched"
    assert set(queue.pending_event_ids_session) == set(queue.pending_messages_per_session) == {"page"}
    sessions.clear()  # as many newer ones would do
    cleaning.forget(app.app)
    assert not queue.pending_event_ids_session and not queue.pending_messages_per_session
    app.close()


def test_idle_connections_do_not_close_the_page(tmp_path: Path):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len([*Path("/dev/fd").iterdir()]) + 100, before[1]))
    app = serve(tmp_path, "127.0.0.1", free_port(), wait=False)
    idle = [socket.create_connection(("127.0.0.1", app.server_port)) for _ in range(200)]
    assert httpx.get(f"{app.local_url}config", timeout=10).status_code == 200
    for connection in idle:
        connection.close()
    app.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
