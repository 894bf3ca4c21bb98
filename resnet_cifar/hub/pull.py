"""Checkpoints on the Hugging Face Hub: downloaded once, then loaded from the cache, also offline."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_cifar.errors import UserError
from resnet_cifar.model.checkpoint import CONFIG, MODEL
from resnet_cifar.model.unknown import UNKNOWN

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

_REPO = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_LARGEST = 200_000_000  # bytes; a ResNet-34 in float32 has 85 million
_FILES = [MODEL, CONFIG, UNKNOWN]  # the last one is optional
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def repo_of(where: str) -> tuple[str, str | None] | None:
    """Split `USER/NAME[@REVISION]` into repo id and revision; None where it has another form."""
    found = _REPO.fullmatch(where)
    return (found[1], found[2]) if found else None


def pull(repo: str, revision: str | None = None, *, anonymous: bool = False) -> Path:
    """Download a checkpoint and return its folder in the Hub's cache.

    `anonymous`: use no token, so only public repos; the cache, which may hold private ones, is then no fallback. Raises
    UserError where the repo is missing or holds no checkpoint of this project, or is neither reachable nor cached.
    """
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name = f"{repo}@{revision}" if revision else repo
    token = False if anonymous else None
    try:
        info = HfApi(token=token).model_info(repo, revision=revision, files_metadata=True)
        _check(name, info)
        return Path(snapshot_download(repo, revision=revision, token=token, allow_patterns=_FILES))
    except HfHubHTTPError as error:
        raise UserError(_refusal(name, error.response.status_code)) from error
    except (httpx2.TransportError, OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        if anonymous:
            raise UserError(f"the Hugging Face Hub can't be reached to download {name}; try again later.") from error
        return _cached(name, repo, revision)


def _cached(name: str, repo: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=_FILES, local_files_only=True))
    except LocalEntryNotFoundError:
        folder = Path()
    if not (folder / MODEL).is_file() or not (folder / CONFIG).is_file():
        raise UserError(
            f"the Hugging Face Hub can't be reached and {name} is not in the cache; connect to the network, or use a "
            "local run."
        )
    return folder


def _check(name: str, info: "ModelInfo") -> None:
    """Raise UserError, before anything is downloaded, where the file list shows no checkpoint of this project."""
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    missing = [file for file in (CONFIG, MODEL) if file not in sizes]
    if MODEL in missing and any(file.endswith(_PICKLES) for file in sizes):
        raise UserError(f"{name} has its weights only as a pickle, which could run any code; it needs a {MODEL}.")
    if missing:
        raise UserError(f"{name} is not a checkpoint of this project: it has no {' and no '.join(missing)}.")
    total = sum(sizes.get(file, 0) for file in _FILES)
    if total > _LARGEST:
        raise UserError(f"{name} has {total / 1e6:,.0f} MB of weights, too large for a ResNet of this project.")


def _refusal(name: str, status: int) -> str:
    if status in (401, 403, 404):
        return (
            f"there is no {name!r} on the Hugging Face Hub that you can read; check the name, and if it is private, "
            "log in with `hf auth login`."
        )
    return f"the Hugging Face Hub answered {status} when asked for {name!r}; try again later."
