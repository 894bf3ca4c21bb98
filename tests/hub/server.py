"""A local Hugging Face Hub for the real client: repos, commits, permissions, and faults on demand.

    with HubServer() as hub:
        hub.fail("PUT", "/lfs/", 503)  # once
        api = HfApi(endpoint=hub.url, token=WRITE)
        api.create_repo("me/name", private=True)
        api.upload_folder(repo_id="me/name", folder_path=folder)
        assert hub.files("models", "me/name")["config.json"] == b"{}"

Everything is kept in memory; an unknown route answers 501. Large files go through LFS, so the client must not use Xet
(HF_HUB_DISABLE_XET=1). One difference to the real Hub: over plain HTTP the client takes a 401 for a missing repo only
if a header says so, and this server sends it.
"""

import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import tests.hub.jobs
import tests.hub.login  # noqa: F401  both add their answers
from tests.hub.answers import ROUTES, Call, is_lfs
from tests.hub.cluster import Cluster
from tests.hub.contents import FINE, ORG, READ, WRITE, Answer, Fault, File, Refusal, Repo, Request, Token


class HubServer:
    """The Hub: its repos, the requests it received, the faults to come. It can be stopped and started again."""

    def __init__(self) -> None:
        self.tokens = {
            WRITE: Token(),
            READ: Token(role="read"),
            FINE: Token(role="fineGrained", scope=("me/fine",)),
            ORG: Token(role="fineGrained", orgs=("org",), scope=("org",)),
        }
        self.visitor = Token()  # logs in with a browser
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.cluster = Cluster()
        self.lock = threading.Lock()
        self._stopped = threading.Event()
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Environment variables of a process whose client is to use this hub, with its own cache and token."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        switched_off = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return clean | switched_off | {"HF_ENDPOINT": self.url, "HF_HOME": str(home)} | more

    @classmethod
    @contextmanager
    def logged_in(cls, monkeypatch: Any, home: Path) -> Iterator["HubServer"]:
        """A hub to which this process is logged in with write access; its client retries at once."""
        with cls() as hub:
            hub.patch(monkeypatch, home)
            monkeypatch.setenv("HF_TOKEN", WRITE)
            monkeypatch.setattr("resnet_cifar.hub.push._RETRY_DELAYS", (0.05, 0.05))
            yield hub

    def patch(self, monkeypatch: Any, home: Path) -> None:
        """Point the client of this process, already imported, at this hub.

        Changing ENDPOINT alone would send downloads, and the token with them, to the real Hub.
        """
        from huggingface_hub import constants

        changes: dict[str, Any] = {
            "ENDPOINT": self.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": self.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_DISABLE_TELEMETRY": True,  # it asks the Hub for a list of agents
        }
        for name, value in changes.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)

    def new_repo(self, kind: str, repo_id: str, visibility: str = "public", sdk: str | None = None) -> Repo:
        """Create a repo with an initial commit, as the Hub does."""
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id, visibility, sdk)
        files = {".gitattributes": File(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n", lfs=False)}
        if kind == "spaces":
            files["README.md"] = File(f"---\nsdk: {sdk}\n---\n".encode(), lfs=False)
        repo.commit("main", None, files, "initial commit")
        return repo

    def put(self, kind: str, repo_id: str, files: dict[str, bytes], message: str = "put", visibility: str = "public"):
        """Commit files to a repo; create it if needed."""
        with self.lock:
            repo = self.repos.get((kind, repo_id)) or self.new_repo(kind, repo_id, visibility)
            added = {path: File(content, is_lfs(path, len(content))) for path, content in files.items()}
            repo.lfs |= {file.sha256: file for file in added.values() if file.lfs}
            return repo.commit("main", repo.refs["main"], repo.refs["main"].files | added, message)

    def repo(self, kind: str, repo_id: str) -> Repo:
        return self.repos[kind, repo_id]

    def files(self, kind: str, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        return {path: file.content for path, file in self.repo(kind, repo_id).at(revision).files.items()}

    # Faults. `path` matches any part of a path, `times` may be math.inf; the oldest fault that matches strikes first.

    def fail(self, method: str, path: str, status: int, times: float = 1):
        """Answer with an error and do nothing."""
        self.faults.append(Fault(method, path, times, answer=Answer.json({"error": "a fault"}, status)))

    def cut(self, method: str, path: str, after_bytes: int = 0, times: float = 1, in_answer: bool = False):
        """Drop the connection after so many bytes of the request's body, so that nothing is done, or of the answer's.

        `in_answer` with 0 bytes: the request is carried out and not even a status comes back. A GET is always cut in
        its answer.
        """
        self.faults.append(Fault(method, path, times, after_bytes, in_answer or method in ("GET", "HEAD")))

    def delay(self, method: str, path: str, seconds: float, times: float = 1):
        """Wait before the request's body is read, or before a GET is answered."""
        self.faults.append(Fault(method, path, times, in_answer=method in ("GET", "HEAD"), seconds=seconds))

    def strike(self, fault: Fault) -> None:
        if fault.seconds is None:
            raise ConnectionAbortedError
        self._stopped.wait(fault.seconds)

    def record(self, request: Request) -> Fault | None:
        """Record a request and return the fault that strikes it, if any."""
        with self.lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.fits(request)), None)
            if fault:
                fault.times -= 1
            return fault

    def answer(self, method: str, target: str, headers: Any, body: bytes, token: str | None) -> Answer:
        url = urlsplit(target)
        try:
            if token and token not in self.tokens:
                raise Refusal(401, "Invalid credentials in Authorization header")
            query = parse_qsl(url.query)
            call = Call(self, method, headers, body, dict(query), self.tokens.get(token or ""), query)
            for methods, pattern, handle in ROUTES:
                if method in methods and (found := re.fullmatch(pattern, url.path)):
                    vars(call).update({name: unquote(text) for name, text in found.groupdict().items() if text})
                    with self.lock:
                        answer = handle(call)
                    return answer if isinstance(answer, Answer) else Answer.json(answer)
            raise Refusal(501, f"Not implemented: {method} {url.path}")
        except Refusal as refusal:
            return refusal.answer

    def start(self) -> "HubServer":
        self._stopped.clear()
        self._server = _Server(self, self._port)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and cut open connections."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in self._server.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "HubServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.cluster.close()


class _Server(ThreadingHTTPServer):
    def __init__(self, hub: HubServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Connection)
        self.hub = hub
        self.connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def serve(self) -> None:
        scheme, _, word = self.headers.get("Authorization", "").partition(" ")
        token = word if scheme == "Bearer" else None
        request = Request(self.command, unquote(self.path), token)
        fault = self.server.hub.record(request) or Fault("", "", 0, seconds=0)
        body = self.receive(fault)
        answer = fault.answer or self.server.hub.answer(self.command, self.path, self.headers, body, token)
        request.status = answer.status
        self.send(answer, fault)

    def receive(self, fault: Fault) -> bytes:
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(min(size, fault.after_bytes))
        if not fault.in_answer and not fault.answer:
            self.server.hub.strike(fault)
        return body + self.rfile.read(size - len(body))

    def send(self, answer: Answer, fault: Fault) -> None:
        if fault.in_answer and not fault.after_bytes:
            self.server.hub.strike(fault)
        if answer.stream is not None:
            self.send_stream(answer, answer.stream, fault)
            return
        self.send_response(answer.status)
        for name, value in (answer.headers | {"Content-Length": str(len(answer.body))}).items():
            self.send_header(name, value)
        self.end_headers()
        body = b"" if self.command == "HEAD" else answer.body
        self.wfile.write(body[: fault.after_bytes])
        if fault.in_answer and fault.after_bytes:
            self.server.hub.strike(fault)
        self.wfile.write(body[fault.after_bytes :])

    def send_stream(self, answer: Answer, stream: Iterator[bytes], fault: Fault) -> None:
        self.send_response(answer.status)
        for name, value in (answer.headers | {"Connection": "close"}).items():
            self.send_header(name, value)
        self.end_headers()
        left = fault.after_bytes if fault.in_answer else sys.maxsize
        for part in stream:
            self.wfile.write(part[:left])
            left -= len(part)
            if left <= 0:
                self.server.hub.strike(fault)
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

    def log_message(self, *_: object) -> None:
        pass
