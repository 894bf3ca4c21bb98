"""A small Hugging Face Hub on this machine, for the real client: repos, commits and rights, and faults on demand.

    with HubServer() as hub:
        hub.fail("PUT", "/lfs/", 503)  # once
        api = HfApi(endpoint=hub.url, token=WRITE)
        api.create_repo("me/name", private=True)
        api.upload_folder(repo_id="me/name", folder_path=folder)
        assert hub.files("models", "me/name")["config.json"] == b"{}"

It answers as the Hub does as far as that is known, says 501 to what it has no word for, and keeps all in memory. Large
files go by LFS: the client must not use Xet (HF_HUB_DISABLE_XET=1). One thing differs: over plain HTTP the client takes
a 401 for a missing repo only where a header says so, and so it does here.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml  # type: ignore[import-untyped]

WRITE, READ, FINE, ORG = "hf_write", "hf_read", "hf_fine", "hf_org"  # tokens that every hub knows
MAY_READ, MAY_WRITE, MAY_PROPOSE = "repo.content.read", "repo.write", "discussion.write"
LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".zip", ".gz")
DATE = "2025-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Token:
    """Who asks, and with what rights. A fine-grained one has its permissions on what its scope names, and no others."""

    user: str = "me"
    role: str = "write"  # or "read" or "fineGrained"
    orgs: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()  # "me", "an-org", "me/a-model", "spaces/me/a-space"
    permissions: tuple[str, ...] = (MAY_READ, MAY_WRITE)

    def may(self, permission: str, kind: str, repo_id: str) -> bool:
        fine, namespace = self.role == "fineGrained", repo_id.split("/")[0]
        if permission == MAY_PROPOSE:
            return permission in self.permissions if fine else self.role == "write"
        if fine:
            name = repo_id if kind == "models" else f"{kind}/{repo_id}"
            return permission in self.permissions and (namespace in self.scope or name in self.scope)
        return namespace in (self.user, *self.orgs) and (permission == MAY_READ or self.role == "write")

    def described(self) -> dict[str, Any]:
        """What whoami tells of it."""
        told: dict[str, Any] = {"displayName": "test", "role": self.role, "createdAt": DATE}
        if self.role == "fineGrained":
            scoped = [{"entity": self._entity(name), "permissions": self.permissions} for name in self.scope]
            told["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": scoped}
        return told

    def _entity(self, name: str) -> dict[str, str]:
        kind = "space" if name.startswith("spaces/") else "model" if "/" in name else "org"
        return {"type": "user" if name == self.user else kind, "name": name.removeprefix("spaces/"), "_id": "0" * 24}


@dataclass(frozen=True)
class File:
    content: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def oid(self) -> str:
        """What git calls it; of a file in LFS git has a pointer."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        blob = pointer.encode() if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0%b" % (len(blob), blob)).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def described(self, path: str) -> dict[str, Any]:
        size = len(self.content)
        lfs = {"oid": self.sha256, "sha256": self.sha256, "size": size, "pointerSize": 134}
        told = {"type": "file", "path": path, "rfilename": path, "oid": self.oid, "blobId": self.oid, "size": size}
        return told | ({"lfs": lfs} if self.lfs else {})


@dataclass(frozen=True)
class Commit:
    id: str
    message: str
    description: str
    parent: "Commit | None"
    files: dict[str, File]


@dataclass
class Repo:
    kind: str
    id: str
    visibility: str = "public"
    sdk: str | None = None
    refs: dict[str, Commit] = field(default_factory=dict)  # "main", "refs/pr/1"
    lfs: dict[str, File] = field(default_factory=dict)  # what was uploaded, by its sha256
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def private(self) -> bool:
        return self.visibility != "public"

    @property
    def prs(self) -> list[Commit]:
        return [commit for ref, commit in self.refs.items() if ref.startswith("refs/pr/")]

    def history(self, ref: str = "main") -> list[Commit]:
        """The commits that led there, the newest first."""
        found, commit = [], self.refs.get(ref)
        while commit:
            found.append(commit)
            commit = commit.parent
        return found

    def at(self, revision: str) -> Commit:
        commits = {commit.id: commit for ref in self.refs for commit in self.history(ref)} | self.refs
        if revision not in commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commits[revision]

    def commit(self, ref: str, parent: Commit | None, files: dict[str, File], message: str, more: str = "") -> Commit:
        self.refs[ref] = Commit(secrets.token_hex(20), message, more, parent, files)
        return self.refs[ref]


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: object, status: int = 200, headers: dict[str, str] | None = None) -> "Answer":
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | (headers or {}))


class Refusal(Exception):
    """What the Hub answers when it does not do what was asked."""

    def __init__(self, status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> None:
        headers = {"X-Error-Message": message, "X-Error-Code": code} | (headers or {})
        self.answer = Answer.json({"error": message}, status, {name: text for name, text in headers.items() if text})


@dataclass
class Request:
    """One that came in."""

    method: str
    path: str  # with its query, and unquoted
    token: str | None
    status: int | None = None  # what it was answered, if it could be


@dataclass
class Fault:
    """What happens to the next few requests that look like this, when so many bytes have passed."""

    method: str
    path: str
    times: float
    after_bytes: int = 0
    in_answer: bool = False
    seconds: float | None = None  # a pause; None cuts the connection
    answer: Answer | None = None  # given in place of doing anything

    def fits(self, request: Request) -> bool:
        return self.times > 0 and self.method in ("*", request.method) and self.path in request.path


Method = Callable[["Call"], Any]
ROUTES: list[tuple[list[str], str, Method]] = []
REPO = "(?P<kind>models|spaces)/(?P<id>[^/]+/[^/]+)"
GIT = "(?:(?P<kind>spaces)/)?(?P<id>[^/]+/[^/]+)"  # as in the address of the repo itself
REV, PATH = "(?P<rev>[^/]+)", "(?P<path>.+)"


def route(methods: str, path: str) -> Callable[[Method], Method]:
    """Such requests are answered by the method below; what has a name in the path becomes a field of the call."""

    def add(method: Method) -> Method:
        ROUTES.append((methods.split(), path, method))
        return method

    return add


@dataclass
class Call:
    """A request, and how each kind of them is answered."""

    hub: "HubServer"
    method: str
    headers: Any
    body: bytes
    query: dict[str, str]
    token: Token | None
    kind: str = "models"
    id: str = ""
    rev: str = "main"
    path: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def may(self, permission: str) -> bool:
        return self.token is not None and self.token.may(permission, self.kind, self.id)

    def repo(self, permission: str = MAY_READ) -> Repo:
        """The repo it is about, if this token may do that there."""
        repo = self.hub.repos.get((self.kind, self.id))
        if repo is None or (repo.private and not self.may(MAY_READ)):
            raise Refusal(404 if self.token else 401, "Repository not found", "RepoNotFound")
        if permission != MAY_READ and not self.token:
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        if permission != MAY_READ and not self.may(permission):
            raise Refusal(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
        return repo

    def changed(self) -> Repo:
        return self.repo(MAY_PROPOSE if "create_pr" in self.query else MAY_WRITE)

    def url(self) -> str:
        return f"{self.hub.url}/{self.id}" if self.kind == "models" else f"{self.hub.url}/{self.kind}/{self.id}"

    @route("GET", "/api/whoami-v2")
    def whoami(self) -> Any:
        if not self.token:
            raise Refusal(401, "Invalid username or password.")
        orgs = [{"type": "org", "name": name, "roleInOrg": "write"} for name in self.token.orgs]
        auth = {"type": "access_token", "accessToken": self.token.described()}
        return {"type": "user", "name": self.token.user, "fullname": self.token.user, "orgs": orgs, "auth": auth}

    @route("POST", "/api/repos/create")
    def create(self) -> Any:
        if not self.token:
            raise Refusal(401, "Invalid username or password.")
        asked = self.json
        namespace, kind = asked.get("organization") or self.token.user, asked.get("type", "model")
        self.kind, self.id = kind + "s", f"{namespace}/{asked['name']}"
        if not self.token.may(MAY_WRITE, self.kind, f"{namespace}/"):
            raise Refusal(403, f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"')
        if (self.kind, self.id) in self.hub.repos:
            return Answer.json({"error": f"You already created this {kind} repo", "url": self.url()}, 409)
        repo = self.hub.new_repo(self.kind, self.id, asked.get("visibility", "public"), asked.get("sdk"))
        for name in ("secrets", "variables"):
            getattr(repo, name).update({each["key"]: each["value"] for each in asked.get(name, [])})
        return {"url": self.url(), "name": self.id, "id": self.id}

    @route("POST", "/api/validate-yaml")
    def validate(self) -> Any:
        header = re.match(r"\s*---\r?\n(.*?)\n---", self.json["content"], re.DOTALL)
        if not header:
            return {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
        try:
            yaml.safe_load(header[1])
        except yaml.YAMLError as error:
            return Answer.json({"errors": [{"message": str(error)}], "warnings": []}, 400)
        return {"errors": [], "warnings": []}

    @route("GET", f"/api/{REPO}")
    @route("GET", f"/api/{REPO}/revision/{REV}")
    def info(self) -> Any:
        repo = self.repo()
        commit = repo.at(self.rev)
        told = {"id": repo.id, "author": repo.id.split("/")[0], "sha": commit.id, "private": repo.private}
        told |= {"sdk": repo.sdk} if repo.kind == "spaces" else {"modelId": repo.id, "downloads": 0}
        told |= {"createdAt": DATE, "lastModified": DATE, "gated": False, "disabled": False, "likes": 0, "tags": []}
        files = [file.described(path) for path, file in commit.files.items()]
        return told | {"siblings": files if "blobs" in self.query else [{"rfilename": path} for path in commit.files]}

    @route("GET", f"/api/{REPO}/tree/{REV}")
    def tree(self) -> Any:
        if self.query.get("recursive") != "true":
            raise Refusal(501, "This hub lists all files or none")
        return [file.described(path) for path, file in self.repo().at(self.rev).files.items()]

    @route("GET", f"/api/{REPO}/auth-check(?P<path>/write)?")
    def auth_check(self) -> Any:
        self.repo(MAY_WRITE if self.path else MAY_READ)
        return {}

    @route("PUT", f"/api/{REPO}/settings")
    def settings(self) -> Any:
        self.repo(MAY_WRITE).visibility = self.json["visibility"]
        return self.json

    @route("GET POST DELETE", "/api/(?P<kind>spaces)/(?P<id>[^/]+/[^/]+)/(?P<path>secrets|variables)")
    def space_settings(self) -> Any:
        kept: dict[str, str] = getattr(self.repo(MAY_WRITE), self.path)
        if self.method == "POST":
            kept[self.json["key"]] = self.json["value"]
        elif self.method == "DELETE":
            kept.pop(self.json["key"], None)
        return {key: {"key": key} | ({"value": kept[key]} if self.path == "variables" else {}) for key in kept}

    @route("POST", f"/api/{REPO}/preupload/{REV}")
    def preupload(self) -> Any:
        there, answers = self.changed().at(self.rev).files, []
        for asked in self.json["files"]:
            path, mode = asked["path"], "lfs" if goes_by_lfs(asked["path"], asked["size"]) else "regular"
            known = {"oid": there[path].etag} if path in there else {}
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False} | known)
        return {"files": answers}

    @route("POST", rf"/{GIT}\.git/info/lfs/objects/batch")
    def lfs_batch(self) -> Any:
        repo, objects = self.repo(MAY_WRITE if "ref" in self.json else MAY_PROPOSE), self.json["objects"]
        for asked in objects:
            if asked["oid"] not in repo.lfs:
                upload = {"href": f"{self.hub.url}/lfs/{repo.kind}/{repo.id}/{asked['oid']}"}
                asked["actions"] = {"upload": upload, "verify": {"href": f"{self.url()}.git/info/lfs/objects/verify"}}
        return {"transfer": "basic", "objects": objects}

    @route("PUT", f"/lfs/{REPO}/{PATH}")
    def lfs_put(self) -> Any:
        """As to a signed address elsewhere: without a token."""
        file = File(self.body, lfs=True)
        if file.sha256 != self.path:
            raise Refusal(400, "The content does not match its sha256")
        self.hub.repos[self.kind, self.id].lfs[file.sha256] = file
        return Answer()

    @route("POST", rf"/{GIT}\.git/info/lfs/objects/verify")
    def lfs_verify(self) -> Any:
        file = self.repo().lfs.get(self.json["oid"])
        if not file or len(file.content) != self.json["size"]:
            raise Refusal(404, "The object was not uploaded")
        return {}

    @route("POST", f"/api/{REPO}/commit/{REV}")
    def commit(self) -> Any:
        repo, url = self.changed(), self.url()
        head = repo.at(self.rev)
        header, *operations = map(json.loads, self.body.splitlines())
        if header["value"].get("parentCommit", head.id) != head.id:
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for operation in operations:
            change(files, repo.lfs, operation["key"], **operation["value"])
        number = len(repo.prs) + 1 if "create_pr" in self.query else None
        ref = f"refs/pr/{number}" if number else self.rev
        made = repo.commit(ref, head, files, header["value"]["summary"], header["value"]["description"])
        pr_url = f"{url}/discussions/{number}" if number else None
        return {"commitUrl": f"{url}/commit/{made.id}", "commitOid": made.id, "pullRequestUrl": pr_url}

    @route("HEAD GET", f"/{GIT}/resolve/{REV}/{PATH}")
    def resolve(self) -> Answer:
        commit = self.repo().at(self.rev)
        headers = {"X-Repo-Commit": commit.id, "Accept-Ranges": "bytes"}
        if self.path not in commit.files:
            raise Refusal(404, "Entry not found", "EntryNotFound", headers)
        file = commit.files[self.path]
        headers |= {"ETag": f'"{file.etag}"', "Content-Type": "application/octet-stream"}
        if file.lfs:
            headers |= {"X-Linked-ETag": f'"{file.etag}"', "X-Linked-Size": str(len(file.content))}
        return part(file.content, self.headers.get("Range", ""), headers)


def goes_by_lfs(path: str, size: int) -> bool:
    return size > 10_000_000 or path.endswith(LFS_SUFFIXES)


def change(files: dict[str, File], lfs: dict[str, File], key: str, path: str, content="", oid="", **_: Any) -> None:
    """One operation of a commit."""
    if key == "file":
        files[path] = File(base64.b64decode(content), lfs=False)
    elif key == "lfsFile":
        if oid not in lfs:
            raise Refusal(400, "An LFS pointer pointed to a file that does not exist")
        files[path] = lfs[oid]
    else:  # deletedFile, or deletedFolder, whose path ends with a slash
        gone = [name for name in files if name == path or (key == "deletedFolder" and name.startswith(path))]
        if not gone:
            raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        for name in gone:
            del files[name]


def part(content: bytes, wanted: str, headers: dict[str, str]) -> Answer:
    """The content, or the range of it that was wanted."""
    found, size = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted), len(content)
    if not found:
        return Answer(200, content, headers)
    first, last = int(found[1]), min(int(found[2] or size), size - 1)
    if first > last:
        return Answer(416, b"", {"Content-Range": f"bytes */{size}"})
    return Answer(206, content[first : last + 1], headers | {"Content-Range": f"bytes {first}-{last}/{size}"})


class HubServer:
    """The Hub: what is in it, what was asked of it, and what shall go wrong. It can be stopped and started again."""

    def __init__(self) -> None:
        self.tokens = {
            WRITE: Token(),
            READ: Token(role="read"),
            FINE: Token(role="fineGrained", scope=("me/fine",)),
            ORG: Token(role="fineGrained", orgs=("org",), scope=("org",)),
        }
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self._stopped = threading.Event()
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """What a process needs so that its client talks to this hub, with a cache and a token of its own."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        switched_off = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return clean | switched_off | {"HF_ENDPOINT": self.url, "HF_HOME": str(home)} | more

    def patch(self, monkeypatch: Any, home: Path) -> None:
        """The same for this process, where the client is imported already: its ENDPOINT alone would send downloads, and
        the token with them, to the real Hub.
        """
        from huggingface_hub import constants

        changes: dict[str, Any] = {
            "ENDPOINT": self.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": self.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_DISABLE_TELEMETRY": True,  # which asks the Hub by what programs it may be run
        }
        for name, value in changes.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)

    def new_repo(self, kind: str, repo_id: str, visibility: str = "public", sdk: str | None = None) -> Repo:
        """Make a repo as the Hub does, with a first commit."""
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id, visibility, sdk)
        files = {".gitattributes": File(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n", lfs=False)}
        if kind == "spaces":
            files["README.md"] = File(f"---\nsdk: {sdk}\n---\n".encode(), lfs=False)
        repo.commit("main", None, files, "initial commit")
        return repo

    def put(self, kind: str, repo_id: str, files: dict[str, bytes], message: str = "put", visibility: str = "public"):
        """Add files to a repo, which is made if it is not there yet."""
        with self.lock:
            repo = self.repos.get((kind, repo_id)) or self.new_repo(kind, repo_id, visibility)
            added = {path: File(content, goes_by_lfs(path, len(content))) for path, content in files.items()}
            repo.lfs |= {file.sha256: file for file in added.values() if file.lfs}
            return repo.commit("main", repo.refs["main"], repo.refs["main"].files | added, message)

    def repo(self, kind: str, repo_id: str) -> Repo:
        return self.repos[kind, repo_id]

    def files(self, kind: str, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        return {path: file.content for path, file in self.repo(kind, repo_id).at(revision).files.items()}

    # What shall go wrong. A path is part of one, the method "*" is any, `times` may be math.inf; the oldest goes first.

    def fail(self, method: str, path: str, status: int, times: float = 1, headers: dict[str, str] | None = None):
        """Answer with an error, and do nothing of what was asked."""
        answer = Answer.json({"error": "a fault"}, status, headers)
        self.faults.append(Fault(method, path, times, answer=answer))

    def cut(self, method: str, path: str, after_bytes: int = 0, times: float = 1, in_answer: bool = False):
        """Drop the connection after so many bytes of what is sent, or of what is answered: then what was asked has been
        done, and with no byte at all not even a status comes back. A GET is always cut in its answer.
        """
        self.faults.append(Fault(method, path, times, after_bytes, in_answer or method in ("GET", "HEAD")))

    def delay(self, method: str, path: str, seconds: float, after_bytes: int = 0, times: float = 1):
        """Pause after so many bytes of what is sent, of a GET's answer, and go on as if nothing had been."""
        self.faults.append(Fault(method, path, times, after_bytes, method in ("GET", "HEAD"), seconds))

    def strike(self, fault: Fault) -> None:
        if fault.seconds is None:
            raise ConnectionAbortedError
        self._stopped.wait(fault.seconds)

    def noted(self, request: Request) -> Fault | None:
        """Keep it in mind, and say what shall go wrong with it."""
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
            call = Call(self, method, headers, body, dict(parse_qsl(url.query)), self.tokens.get(token or ""))
            for methods, pattern, handle in ROUTES:
                if method in methods and (found := re.fullmatch(pattern, url.path)):
                    vars(call).update({name: unquote(text) for name, text in found.groupdict().items() if text})
                    with self.lock:
                        answer = handle(call)
                    return answer if isinstance(answer, Answer) else Answer.json(answer)
            raise Refusal(501, f"This hub has no word for {method} {url.path}")
        except Refusal as refusal:
            return refusal.answer

    def start(self) -> "HubServer":
        self._stopped.clear()
        self._server = _Server(self, self._port)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Be gone: what is being sent is cut, and nobody listens any more."""
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
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        request = Request(self.command, unquote(self.path), token)
        fault = self.server.hub.noted(request) or Fault("", "", 0, seconds=0)
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
        self.send_response(answer.status)
        for name, value in (answer.headers | {"Content-Length": str(len(answer.body))}).items():
            self.send_header(name, value)
        self.end_headers()
        body = b"" if self.command == "HEAD" else answer.body
        self.wfile.write(body[: fault.after_bytes])
        if fault.in_answer and fault.after_bytes:
            self.server.hub.strike(fault)
        self.wfile.write(body[fault.after_bytes :])

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

    def log_message(self, *_: object) -> None:
        pass
