"""Checkpoints that lie on the Hugging Face Hub: fetched once, then used from the cache, without a network too."""

import re
from pathlib import Path

from resnet_cifar.checkpoint import CONFIG, MODEL
from resnet_cifar.errors import UserError

_REPO = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?")


def repo_of(where: str) -> tuple[str, str | None] | None:
    """The repo id and the revision of `USER/NAME` or `USER/NAME@REVISION`; None where it can't be one, or is a path."""
    found = _REPO.fullmatch(where)
    if found is None or Path(where).exists():
        return None
    return found["repo"], found["revision"]


def pull(repo: str, revision: str | None = None) -> Path:
    """The folder of a checkpoint on the Hub, in the Hub's own cache.

    Raises UserError where there is none, it holds no checkpoint of ours, or neither Hub nor cache can be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    named = f"{repo}@{revision}" if revision else repo
    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=[MODEL, CONFIG]))
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"{named} is not in the cache, and the Hugging Face Hub can't be reached; connect, or name a local run."
        ) from error
    except HfHubHTTPError as error:
        raise UserError(_refusal(named, revision, error.response.status_code)) from error
    missing = [name for name in (CONFIG, MODEL) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{named} holds no checkpoint of ours: {' and '.join(missing)} {_are(missing)} not there{_why(repo)}."
        )
    return folder


def _refusal(named: str, revision: str | None, status: int) -> str:
    if status in (401, 403, 404):
        other = " or revision" if revision else ""
        return (
            f"there is no repo{other} {named!r} on the Hugging Face Hub that can be read from here; check the name, and "
            "if it is private, log in with `hf auth login`."
        )
    return f"the Hugging Face Hub answered {status} when asked for {named!r}; try again later."
