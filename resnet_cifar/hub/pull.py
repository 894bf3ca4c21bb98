"""Checkpoints that lie on the Hugging Face Hub: fetched once, then used from the cache, without a network too."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_cifar.errors import UserError
from resnet_cifar.model.checkpoint import CONFIG, MODEL

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

_REPO = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_LARGEST = 200_000_000  # bytes; a ResNet-34 has 85 million
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def repo_of(where: str) -> tuple[str, str | None] | None:
    """The repo id and the revision of `USER/NAME` or `USER/NAME@REVISION`; None where it can't be one."""
    found = _REPO.fullmatch(where)
    return (found[1], found[2]) if found else None


def pull(repo: str, revision: str | None = None, *, anonymous: bool = False) -> Path:
    """The folder of a checkpoint on the Hub, in the Hub's own cache; `anonymous`: only of what is public.

    Raises UserError where there is none, it holds no checkpoint of ours, or neither Hub nor cache can be reached.
    """
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    named = f"{repo}@{revision}" if revision else repo
    token = False if anonymous else None
    try:
        info = HfApi(token=token).model_info(repo, revision=revision, files_metadata=True)
        _check(named, info)
        return Path(snapshot_download(repo, revision=revision, token=token, allow_patterns=[MODEL, CONFIG]))
    except HfHubHTTPError as error:
        raise UserError(_refusal(named, error.response.status_code)) from error
    except (httpx2.TransportError, OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        if anonymous:  # what lies in the cache may have been private
            raise UserError(f"the Hugging Face Hub can't be reached, and {named} not be fetched; try again.") from error
        return _cached(named, repo, revision)


def _cached(named: str, repo: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=[MODEL, CONFIG], local_files_only=True))
    except LocalEntryNotFoundError:
        folder = Path()
    if not (folder / MODEL).is_file() or not (folder / CONFIG).is_file():
        raise UserError(
            f"the Hugging Face Hub can't be reached, and {named} is not in the cache; connect, or name a local run."
        )
    return folder


def _check(named: str, info: "ModelInfo") -> None:
    """Refuse, before it is fetched, what can be seen to be no checkpoint of ours."""
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    missing = [name for name in (CONFIG, MODEL) if name not in sizes]
    if MODEL in missing and any(name.endswith(_PICKLES) for name in sizes):
        raise UserError(f"{named} holds its weights as a pickle, which could run any code; it has no {MODEL}.")
    if missing:
        raise UserError(f"{named} holds no checkpoint of ours: it has no {' and no '.join(missing)}.")
    if sizes[MODEL] + sizes[CONFIG] > _LARGEST:
        raise UserError(f"{named} has {sizes[MODEL] / 1e6:,.0f} MB of weights, and is no ResNet-34 of ours.")


def _refusal(named: str, status: int) -> str:
    if status in (401, 403, 404):
        return (
            f"there is no {named!r} on the Hugging Face Hub that can be read from here; check the name, and if it is "
            "private, log in with `hf auth login`."
        )
    return f"the Hugging Face Hub answered {status} when asked for {named!r}; try again later."
