"""Answers of the local Hub: one method for each route that the real client uses."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from tests.hub.contents import DATE, LFS_SUFFIXES, MAY_PROPOSE, MAY_READ, MAY_WRITE, Answer, File, Refusal, Repo, Token
from tests.hub.rules import faults

if TYPE_CHECKING:
    from tests.hub.server import HubServer

Method = Callable[["Call"], Any]
ROUTES: list[tuple[list[str], str, Method]] = []
REPO = "(?P<kind>models|spaces)/(?P<id>[^/]+/[^/]+)"
GIT = "(?:(?P<kind>spaces|datasets)/)?(?P<id>[^/]+/[^/]+)"  # as in the address of the repo itself
REV, PATH = "(?P<rev>[^/]+)", "(?P<path>.+)"


def route(methods: str, path: str) -> Callable[[Method], Method]:
    """Register a method for such requests; named groups of the path become fields of the call."""

    def add(method: Method) -> Method:
        ROUTES.append((methods.split(), path, method))
        return method

    return add


@dataclass
class Call:
    """A request and the methods that answer it."""

    hub: "HubServer"
    method: str
    headers: Any
    body: bytes
    query: dict[str, str]
    token: Token | None
    pairs: list[tuple[str, str]] = field(default_factory=list)  # of the query, where a name occurs more than once
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
        """Return the requested repo. Raises Refusal if it is missing or the token lacks the permission there."""
        repo = self.hub.repos.get((self.kind, self.id))
        if repo is None or (repo.private and not self.may(MAY_READ)):
            raise Refusal(404 if self.token else 401, "Repository not found", "RepoNotFound")
        if permission != MAY_READ and not self.token:
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        foreign = self.token is not None and self.token.by_login and not repo.by_login
        if permission != MAY_READ and (foreign or not self.may(permission)):
            raise Refusal(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
        return repo

    def repo_to_change(self) -> Repo:
        return self.repo(MAY_PROPOSE if "create_pr" in self.query else MAY_WRITE)

    def need_hardware(self, hardware: str | None) -> None:
        """Raise Refusal if the account may not have the requested Space on such hardware."""
        on_zero_gpu = [repo for repo in self.hub.repos.values() if repo.hardware == "zero-a10g" and repo.id != self.id]
        if hardware and self.token:
            self.token.need(hardware, len(on_zero_gpu))

    def url(self) -> str:
        return f"{self.hub.url}/{self.id}" if self.kind == "models" else f"{self.hub.url}/{self.kind}/{self.id}"

    @route("GET", "/api/whoami-v2")
    def whoami(self) -> Any:
        if not self.token:
            raise Refusal(401, "Invalid username or password.")
        orgs = [{"type": "org", "name": name, "roleInOrg": "write"} for name in self.token.orgs]
        auth = {"type": "access_token", "accessToken": self.token.described()}
        if self.token.by_login:
            auth = {"type": "oauth"}
        return {"type": "user", "name": self.token.user, "fullname": self.token.user, "orgs": orgs, "auth": auth}

    @route("POST", "/api/repos/create")
    def create(self) -> Any:
        if not self.token:
            raise Refusal(401, "Invalid username or password.")
        wanted = self.json
        namespace, kind = wanted.get("organization") or self.token.user, wanted.get("type", "model")
        self.kind, self.id = kind + "s", f"{namespace}/{wanted['name']}"
        if not self.token.may(MAY_WRITE, self.kind, f"{namespace}/"):
            raise Refusal(403, f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"')
        if (self.kind, self.id) in self.hub.repos:
            return Answer.json({"error": f"You already created this {kind} repo", "url": self.url()}, 409)
        hardware = wanted.get("hardware", "cpu-basic") if kind == "space" else None
        self.need_hardware(hardware)
        repo = self.hub.new_repo(self.kind, self.id, wanted.get("visibility", "public"), wanted.get("sdk"))
        repo.hardware, repo.by_login = hardware, self.token.by_login
        return {"url": self.url(), "name": self.id, "id": self.id}

    @route("POST", "/api/validate-yaml")
    def validate(self) -> Any:
        header = re.match(r"\s*---\r?\n(.*?)\n---", self.json["content"], re.DOTALL)
        if not header:
            return {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
        try:
            found = faults(self.json["repoType"], yaml.safe_load(header[1]))
        except yaml.YAMLError as error:
            found = [str(error)]
        report = {"errors": [{"message": fault} for fault in found], "warnings": []}
        return Answer.json(report, 400) if found else report

    @route("GET", f"/api/{REPO}/runtime")
    def runtime(self) -> Any:
        repo = self.repo()
        hardware = {"current": None, "requested": repo.hardware}
        return {"stage": "RUNNING", "hardware": hardware, "volumes": repo.volumes or None}

    @route("PUT", f"/api/{REPO}/volumes")
    def mount(self) -> Any:
        repo, wanted = self.repo(MAY_WRITE), self.json["volumes"]
        buckets = [volume["source"] for volume in wanted if volume["type"] == "bucket"]
        if not all(self.hub.cluster.bucket(name).is_dir() for name in buckets):
            raise Refusal(404, "Bucket not found")
        repo.volumes = wanted
        return self.runtime()

    @route("POST", f"/api/{REPO}/hardware")
    def request_hardware(self) -> Any:
        repo, hardware = self.repo(MAY_WRITE), self.json["flavor"]
        self.need_hardware(hardware)
        repo.hardware = hardware
        return self.runtime()

    @route("GET", f"/api/{REPO}")
    @route("GET", f"/api/{REPO}/revision/{REV}")
    def info(self) -> Any:
        repo = self.repo()
        commit = repo.at(self.rev)
        fields = {"id": repo.id, "author": repo.id.split("/")[0], "sha": commit.id, "private": repo.private}
        fields |= {"sdk": repo.sdk} if repo.kind == "spaces" else {"modelId": repo.id, "downloads": 0}
        fields |= {"createdAt": DATE, "lastModified": DATE, "gated": False, "disabled": False, "likes": 0, "tags": []}
        files = [file.described(path) for path, file in commit.files.items()]
        return fields | {"siblings": files if "blobs" in self.query else [{"rfilename": path} for path in commit.files]}

    @route("GET", f"/api/{REPO}/tree/{REV}")
    def tree(self) -> Any:
        if self.query.get("recursive") != "true":
            raise Refusal(501, "Only recursive listings are implemented")
        return [file.described(path) for path, file in self.repo().at(self.rev).files.items()]

    @route("POST", f"/api/{REPO}/preupload/{REV}")
    def preupload(self) -> Any:
        there, answers = self.repo_to_change().at(self.rev).files, []
        for file in self.json["files"]:
            path, mode = file["path"], "lfs" if is_lfs(file["path"], file["size"]) else "regular"
            known = {"oid": there[path].etag} if path in there else {}
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False} | known)
        return {"files": answers}

    @route("POST", rf"/{GIT}\.git/info/lfs/objects/batch")
    def lfs_batch(self) -> Any:
        repo, objects = self.repo(MAY_WRITE if "ref" in self.json else MAY_PROPOSE), self.json["objects"]
        for each in objects:
            if each["oid"] not in repo.lfs:
                upload = {"href": f"{self.hub.url}/lfs/{repo.kind}/{repo.id}/{each['oid']}"}
                each["actions"] = {"upload": upload, "verify": {"href": f"{self.url()}.git/info/lfs/objects/verify"}}
        return {"transfer": "basic", "objects": objects}

    @route("PUT", f"/lfs/{REPO}/{PATH}")
    def lfs_put(self) -> Any:
        """Take an upload without a token, as a signed URL of a storage service does."""
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
        repo, url = self.repo_to_change(), self.url()
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


def is_lfs(path: str, size: int) -> bool:
    return size > 10_000_000 or path.endswith(LFS_SUFFIXES)


def change(files: dict[str, File], lfs: dict[str, File], key: str, path: str, content="", oid="", **_: Any) -> None:
    """Apply one operation of a commit to `files`."""
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
    """Answer with the content, or with the requested range of it."""
    found, size = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted), len(content)
    if not found:
        return Answer(200, content, headers)
    first, last = int(found[1]), min(int(found[2] or size), size - 1)
    if first > last:
        return Answer(416, b"", {"Content-Range": f"bytes */{size}"})
    return Answer(206, content[first : last + 1], headers | {"Content-Range": f"bytes {first}-{last}/{size}"})
