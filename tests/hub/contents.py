"""Data of the local Hub: tokens, files, commits, repos, requests, answers, faults."""

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

WRITE, READ, FINE, ORG = "hf_write", "hf_read", "hf_fine", "hf_org"  # tokens of every HubServer
MAY_READ, MAY_WRITE, MAY_PROPOSE = "repo.content.read", "repo.write", "discussion.write"
LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".zip", ".gz")
DATE = "2025-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Token:
    """A user and their permissions; a fine-grained token has `permissions` on what its `scope` names, and none else."""

    user: str = "me"
    role: str = "write"  # or "read" or "fineGrained"
    orgs: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()  # "me", "an-org", "me/a-model", "spaces/me/a-space"
    permissions: tuple[str, ...] = (MAY_READ, MAY_WRITE)
    pro: bool = False  # whether the account has a paid plan
    credit: bool = False  # or pays for hardware by the minute
    jobs: bool = True  # whether it may start Jobs
    by_login: bool = False  # made by a login in a browser: whoami does not report its permissions

    def may(self, permission: str, kind: str, repo_id: str) -> bool:
        fine, namespace = self.role == "fineGrained", repo_id.split("/")[0]
        if permission == MAY_PROPOSE:
            return permission in self.permissions if fine else self.role == "write"
        if fine:
            name = repo_id if kind == "models" else f"{kind}/{repo_id}"
            return permission in self.permissions and (namespace in self.scope or name in self.scope)
        return namespace in (self.user, *self.orgs) and (permission == MAY_READ or self.role == "write")

    def need(self, hardware: str, zero_gpu_spaces: int) -> None:
        """Raise Refusal if the account may not have one more Space on such hardware."""
        if hardware == "zero-a10g" and zero_gpu_spaces >= 2 and not self.pro:
            raise Refusal(403, "You have reached the limit of ZeroGPU Spaces")
        if hardware == "cpu-basic" and not self.pro:
            raise Refusal(402, "Subscribe to PRO for Spaces on cpu-basic")
        if hardware not in ("zero-a10g", "cpu-basic") and not self.credit:
            raise Refusal(402, f"Add credit for Spaces on {hardware}")

    def described(self) -> dict[str, Any]:
        """Return what whoami reports of it."""
        fields: dict[str, Any] = {"displayName": "test", "role": self.role, "createdAt": DATE}
        if self.role == "fineGrained":
            permissions = (*self.permissions, *(("job.write",) if self.jobs else ()))
            scoped = [{"entity": self._entity(name), "permissions": permissions} for name in self.scope]
            fields["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": scoped}
        return fields

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
        """Return its git object id; for an LFS file, that of the pointer which git stores."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        blob = pointer.encode() if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0%b" % (len(blob), blob)).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def described(self, path: str) -> dict[str, Any]:
        size = len(self.content)
        lfs = {"oid": self.sha256, "sha256": self.sha256, "size": size, "pointerSize": 134}
        fields = {"type": "file", "path": path, "rfilename": path, "oid": self.oid, "blobId": self.oid, "size": size}
        return fields | ({"lfs": lfs} if self.lfs else {})


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
    hardware: str | None = None
    by_login: bool = False  # created with a login in a browser: other such logins may not write to other repos
    volumes: list[dict[str, Any]] = field(default_factory=list)  # mounted in a Space
    refs: dict[str, Commit] = field(default_factory=dict)  # "main", "refs/pr/1"
    lfs: dict[str, File] = field(default_factory=dict)  # uploaded files by sha256

    @property
    def private(self) -> bool:
        return self.visibility != "public"

    @property
    def prs(self) -> list[Commit]:
        return [commit for ref, commit in self.refs.items() if ref.startswith("refs/pr/")]

    def history(self, ref: str = "main") -> list[Commit]:
        """Commits of a ref, the newest first."""
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
    stream: Iterator[bytes] | None = None  # instead of a body, as long as it goes on

    @classmethod
    def json(cls, value: object, status: int = 200, headers: dict[str, str] | None = None) -> "Answer":
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | (headers or {}))


class Refusal(Exception):
    """An error answer of the Hub."""

    def __init__(self, status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> None:
        headers = {"X-Error-Message": message, "X-Error-Code": code} | (headers or {})
        self.answer = Answer.json({"error": message}, status, {name: text for name, text in headers.items() if text})


@dataclass
class Request:
    """A request that was received."""

    method: str
    path: str  # with its query, unquoted
    token: str | None
    status: int | None = None  # of the answer; None if the connection was cut


@dataclass
class Fault:
    """A fault that strikes the next `times` matching requests, after `after_bytes`."""

    method: str
    path: str
    times: float
    after_bytes: int = 0
    in_answer: bool = False
    seconds: float | None = None  # a pause; None cuts the connection
    answer: Answer | None = None  # instead of carrying the request out

    def fits(self, request: Request) -> bool:
        return self.times > 0 and self.method == request.method and self.path in request.path
