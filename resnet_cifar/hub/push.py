"""Upload of a run to the Hugging Face Hub: check of permissions, then one commit, with retries.

The run itself is only read. The token is that of the client: passed by the caller, else from `hf auth login` or
HF_TOKEN. It is never stored.
"""

import math
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
from resnet_cifar.hub.bundle import bundle
from resnet_cifar.hub.card import CARD
from resnet_cifar.model.export import ONNX, export_onnx, need_packages, write_onnx
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.background import in_background

T = TypeVar("T")

_TIMEOUT = 30.0  # seconds
_RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0)  # seconds before each retry
# The client raises RuntimeError where a large file could not be uploaded, and ValueError where the card is refused.
_FAILURES = (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled, RuntimeError, ValueError, TimeoutError)
_TOKENS = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Account:
    """A user of the Hub and where their token may write."""

    name: str
    organisations: tuple[str, ...]
    may_write: bool
    may_rent: bool = True
    """Whether the token may start Jobs, as far as the Hub tells."""


@dataclass(frozen=True)
class Plan:
    """The upload that a push would make."""

    repo: str
    public: bool
    files: dict[str, int]
    """Size in bytes by name."""
    card: str
    create_pr: bool = False
    """Whether the files are proposed as a pull request."""
    bucket: str | None = None
    """Private bucket that a Space gets for its runs."""


def account(api: HfApi) -> Account:
    """Return the account of the client's token.

    Raises UserError where there is no valid token or the Hub can't be reached.
    """
    try:
        user = api.whoami()
    except LocalTokenNotFoundError as error:
        raise UserError("nobody is logged in to the Hugging Face Hub; run `hf auth login`, or set HF_TOKEN.") from error
    except (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled) as error:
        raise _as_user_error(error) from error
    token = user.get("auth", {}).get("accessToken", {})
    scopes = token.get("fineGrained", {}).get("scoped") or []
    permissions = {permission for scope in scopes for permission in scope.get("permissions", [])}
    # For a login in a browser the Hub reports no access token, and so no permissions: the upload will show.
    may_write = not token or token.get("role") == "write" or "repo.write" in permissions
    may_rent = not token or token.get("role") == "write" or any(one.startswith("job.") for one in permissions)
    return Account(user["name"], tuple(org["name"] for org in user.get("orgs", [])), may_write, may_rent)


def check_name(repo: str) -> None:
    """Raise UserError unless `repo` is a valid USER/NAME. Sends no request."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"{repo!r} is not a valid repo name: {error}") from error
    if "/" not in repo:
        raise UserError(f"repo {repo!r} has no owner; it must be USER/NAME.")


def check_rights(api: HfApi, repo: str) -> Account:
    """Return the account if it may write to `repo`.

    Raises UserError for what would make the upload fail: an invalid name, no token, or one that may not write there.
    """
    check_name(repo)
    who = account(api)
    owner = repo.partition("/")[0]
    if owner.lower() not in {name.lower() for name in (who.name, *who.organisations)}:
        places = ", ".join((who.name, *who.organisations))
        raise UserError(f"{who.name}, who is logged in, can't write to {owner}; choose one of {places}.")
    if not who.may_write:
        raise UserError(
            f"the token of {who.name} may only read; create one with write access at {_TOKENS} and log in with "
            "`hf auth login`."
        )
    return who


def plan(run: RunDir, repo: str, *, public: bool = False, create_pr: bool = False, onnx: bool = False) -> Plan:
    """List what a push would upload, without a request.

    Raises UserError where `repo` is not a valid name, the run has no usable weights, or `onnx` lacks its packages.
    """
    check_name(repo)
    with bundle(run, repo, onnx) as folder:
        if onnx:
            write_onnx(run.path, folder / ONNX)
        files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
        return Plan(repo, public, files, (folder / CARD).read_text(encoding="utf-8"), create_pr)


def push(
    run: RunDir,
    repo: str,
    *,
    public: bool = False,
    create_pr: bool = False,
    onnx: bool = False,
    api: HfApi | None = None,
) -> Generator[Progress, None, str]:
    """Upload a run in one commit and return the address of the repo or pull request. Never changes the run.

    `repo`: USER/NAME; a new one is private unless `public`. `create_pr`: propose the files as a pull request. `onnx`:
    add an ONNX file. Raises UserError where the run, the token or the Hub does not allow it. A failed push can be
    repeated.
    """
    api = api or HfApi()
    if onnx:
        need_packages()
    yield from with_timeout(lambda: check_rights(api, repo))
    with bundle(run, repo, onnx) as folder:
        if onnx:
            yield from export_onnx(run.path, folder / ONNX)
        yield from with_retries(lambda: api.create_repo(repo, private=not public, exist_ok=True), done=0)
        commit = yield from with_retries(
            lambda: api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message=f"Upload {run.name}", create_pr=create_pr
            ),
            done=1,
        )
    yield Progress(phase="upload", done=2, total=2)
    return commit.pr_url or f"{api.endpoint}/{repo}"


def with_retries(work: Callable[[], T], done: int, limit: float = math.inf) -> Generator[Progress, None, T]:
    """Run a request in the background and retry it after a passing failure of the Hub or the network.

    The client retries neither `create_repo` nor a commit. A commit whose answer was lost may have been made: the retry
    then finds nothing to change. `done`: steps done before, of two. `limit`: seconds that an attempt may take. Raises
    UserError after the last retry.
    """
    for delay in (*_RETRY_DELAYS, None):
        try:
            return (yield from _within(limit, work, done))
        except _FAILURES as error:
            if delay is None or not _is_temporary(error):
                raise _as_user_error(error) from error
        until = time.monotonic() + delay
        while time.monotonic() < until:
            time.sleep(0.1)
            yield Progress(phase="upload", done=done, total=2)
    raise AssertionError("the last attempt returns or raises")


def with_timeout(work: Callable[[], T]) -> Generator[Progress, None, T]:
    """Run a short request in the background; the client itself would wait for its answer without limit.

    Raises UserError where no answer comes within 30 seconds.
    """
    try:
        return (yield from _within(_TIMEOUT, work, done=0))
    except TimeoutError as error:
        raise UserError(
            f"the Hugging Face Hub did not answer within {_TIMEOUT:g} s; check the network, then try again."
        ) from error


def _within(seconds: float, work: Callable[[], T], done: int) -> Generator[Progress, None, T]:
    """Run `work` in the background. Raises TimeoutError if it takes longer; it is then left to itself."""
    steps = in_background(work, lambda: Progress(phase="upload", done=done, total=2))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            yield next(steps)
        except StopIteration as end:
            return end.value
    raise TimeoutError


def _is_temporary(error: Exception) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (408, 409, 412, 429) or error.response.status_code >= 500
    return isinstance(error, httpx2.TransportError | TimeoutError)


def _as_user_error(error: Exception) -> UserError:
    """Describe a failed request and what to do. Nothing was uploaded; only an empty repo may have been created."""
    if isinstance(error, ValueError) and not isinstance(error, HfHubHTTPError):
        return UserError(f"the Hugging Face Hub refuses the card: {' '.join(str(error).split())}")
    if isinstance(error, RuntimeError):
        return UserError("the weights could not be uploaded; the run is unchanged, try again later.")
    if not isinstance(error, HfHubHTTPError):
        return UserError("the Hugging Face Hub can't be reached; check the network, then try again.")
    status = error.response.status_code
    if status == 401:
        return UserError(
            "the Hugging Face Hub no longer accepts this login; log in again, in a terminal with `hf auth login`."
        )
    if status == 403:
        return UserError(
            f"this login has no write access there; create a token that has it at {_TOKENS}. A login on a Space can "
            "write only to repos that were created from that Space."
        )
    if status == 404:
        return UserError("the Hugging Face Hub has no such repo, or this token can't see it; check the name.")
    return UserError(f"the Hugging Face Hub answered {status}; the run is unchanged, try again later.")
