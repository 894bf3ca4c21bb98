"""A run's way to the Hugging Face Hub: whether it may go there, and the upload in one commit.

The run itself is only read. The token is the Hub client's own (`hf auth login`, or HF_TOKEN) or one that is handed in;
it is never written down.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils._validators import validate_repo_id

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.hub.bundle import staged
from resnet_cifar.hub.card import CARD
from resnet_cifar.model.export import ONNX, export_onnx, need_packages, write_onnx
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.background import in_background

T = TypeVar("T")

_PATIENCE = 30.0  # seconds for an answer
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before each further try
# RuntimeError and ValueError: the client's own, where it has given up on a large file, and of a card that is refused.
_FAILURES = (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled, RuntimeError, ValueError)
_TOKENS = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Visitor:
    """Who is logged in, and where they may write."""

    name: str
    organisations: tuple[str, ...]
    may_write: bool


@dataclass(frozen=True)
class Plan:
    """What a push will do."""

    repo: str
    public: bool
    files: dict[str, int]
    """Name and size in bytes of each file."""
    card: str


def visitor(api: HfApi) -> Visitor:
    """Who the token belongs to. Raises UserError where there is none, it is not valid, or the Hub can't be reached."""
    told = _asking(lambda: api.whoami())
    token = told.get("auth", {}).get("accessToken", {})
    fine = token.get("fineGrained", {})
    granted = {right for scope in (fine.get("scoped") or []) for right in scope.get("permissions", [])}
    # Of a login in a browser the Hub does not tell what it may do.
    may_write = not token or token.get("role") == "write" or "repo.write" in granted
    return Visitor(told["name"], tuple(org["name"] for org in told.get("orgs", [])), may_write)


def check_rights(api: HfApi, repo: str) -> Visitor:
    """Refuse what can be seen now to fail at the upload: a bad name, no token, one that may not write there.

    Raises UserError.
    """
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"{repo!r} is no name for a repo: {error}") from error
    if "/" not in repo:
        raise UserError(f"{repo!r} names no owner; it must be USER/NAME.")
    who = visitor(api)
    owner = repo.partition("/")[0]
    if owner.lower() not in {name.lower() for name in (who.name, *who.organisations)}:
        places = ", ".join((who.name, *who.organisations))
        raise UserError(f"{who.name} is logged in, who can't write to {owner}; choose one of {places}.")
    if not who.may_write:
        raise UserError(
            f"the token of {who.name} may only read; make one that may write at {_TOKENS}, and log in with "
            "`hf auth login`."
        )
    return who


def plan(run: RunDir, repo: str, public: bool = False, onnx: bool = False) -> Plan:
    """What a push of a run would upload, found out without a request. Raises UserError where it has no good weights."""
    with staged(run, repo, onnx) as folder:
        if onnx:
            write_onnx(run.path, folder / ONNX)
        files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
        return Plan(repo, public, files, (folder / CARD).read_text(encoding="utf-8"))


def push(
    run: RunDir,
    repo: str,
    *,
    public: bool = False,
    create_pr: bool = False,
    onnx: bool = False,
    api: HfApi | None = None,
) -> Generator[Progress, None, str]:
    """Upload a run in one commit; the address of what came of it. Can be repeated, and never changes the run.

    `repo`: USER/NAME, made if it isn't there: private unless `public`. `create_pr`: as a pull request. `onnx`: with an
    ONNX file. Raises UserError where that can't be.
    """
    api = api or HfApi()
    if onnx:
        need_packages()
    yield from soon(lambda: check_rights(api, repo))
    with staged(run, repo, onnx) as folder:
        if onnx:
            yield from export_onnx(run.path, folder / ONNX)
        yield from patiently(lambda: api.create_repo(repo, private=not public, exist_ok=True), done=0)
        commit = yield from patiently(
            lambda: api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message=f"Upload {run.name}", create_pr=create_pr
            ),
            done=1,
        )
    yield Progress(phase="upload", done=2, total=2)
    return commit.pr_url or f"{api.endpoint}/{repo}"


def patiently(work: Callable[[], T], done: int) -> Generator[Progress, None, T]:
    """Do a step in the background, and again where the Hub or the way to it failed; the client does not by itself.

    `done`: steps before this one, of two. Raises UserError once it has failed too often.
    """
    for wait in (*_WAITS, None):
        try:
            return (yield from in_background(work, lambda: Progress(phase="upload", done=done, total=2)))
        except _FAILURES as error:
            if wait is None or not _may_pass(error):
                raise _sentence(error) from error
        until = time.monotonic() + wait
        while time.monotonic() < until:
            time.sleep(0.1)
            yield Progress(phase="upload", done=done, total=2)
    raise AssertionError("the last try returns or raises")


def soon(work: Callable[[], T]) -> Generator[Progress, None, T]:
    """Ask something that is answered at once; the client itself would wait for ever.

    Raises UserError where no answer comes.
    """
    steps = in_background(work, lambda: Progress(phase="upload", done=0, total=2))
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            yield next(steps)
        except StopIteration as end:
            return end.value
    raise UserError("the Hugging Face Hub does not answer; check the network, and try again.")


def _asking(work: Callable[[], T]) -> T:
    try:
        return work()
    except LocalTokenNotFoundError as error:
        raise UserError("nobody is logged in to the Hugging Face Hub; run `hf auth login`, or set HF_TOKEN.") from error
    except (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled) as error:
        raise _sentence(error) from error


def _may_pass(error: Exception) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (408, 409, 412, 429) or error.response.status_code >= 500
    return isinstance(error, httpx2.TransportError)


def _sentence(error: Exception) -> UserError:
    """What to tell of a Hub that refused or could not be reached. Nothing was changed, but for a repo that was made."""
    if isinstance(error, ValueError) and not isinstance(error, HfHubHTTPError):
        return UserError(f"the Hugging Face Hub refuses the card: {' '.join(str(error).split())}")
    if isinstance(error, RuntimeError):
        return UserError("the weights could not be uploaded; nothing is lost here, try again later.")
    if not isinstance(error, HfHubHTTPError):
        return UserError("the Hugging Face Hub can't be reached; check the network, and try again.")
    status = error.response.status_code
    if status == 401:
        return UserError(
            "the Hugging Face Hub does not know this login any more; log in anew, in a terminal with `hf auth login`."
        )
    if status == 403:
        return UserError(
            f"this login may not do that; make a token that may write there at {_TOKENS}. A login on a Space may "
            "write only to repos that were made from there."
        )
    if status == 404:
        return UserError("there is no such repo on the Hugging Face Hub, or this token may not see it.")
    return UserError(f"the Hugging Face Hub answered {status}; nothing is lost here, try again later.")
