"""CIFAR-100 from the Hugging Face Hub: read from parquet files, and stored as one file of tensors.

Images and labels, in their order, are checked against digests of the official ones, here and whenever they are read.
"""

import hashlib
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_cifar.data.images import decode
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.system import files
from resnet_cifar.system.background import in_background

REPO = "uoft-cs/cifar100"
"""The data set's repo on the Hub."""
NAME = "cifar100-hub.safetensors"
"""File that holds what was downloaded."""
INSTALL = "pip install pyarrow"
"""Command that installs what reads parquet files."""
DIGESTS = {
    "train": "14886c20287690f03728355958fe0858f491f72573360ceb2c75e0feff0833ba",
    "test": "1a89522ef3d4d89d962566436ca6223f42f4a2dcbfa3bd870b2ead933a83e54a",
}
"""SHA-256 of each split's pixels (N, 32, 32, 3), followed by its labels, a byte each."""
_PARQUET = {split: f"cifar100/{split}-00000-of-00001.parquet" for split in DIGESTS}
_BYTES = 142_000_000  # of both parquet files, about; for the progress only
_BATCH = 500  # images decoded at once, in less than a tenth of a second

Rows = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Images (N, 32, 32, 3) and their labels (N,)."""


def installed() -> bool:
    """Return whether the optional package that reads parquet files is installed."""
    return find_spec("pyarrow") is not None


def download(root: Path) -> Generator[Progress, None, None]:
    """Download the data set and store it in the folder `root`.

    Raises UserError without pyarrow, if the download fails, or if what came is not the official data set.
    """
    if not installed():
        raise UserError(f"CIFAR-100 from the Hugging Face Hub needs a package: `{INSTALL}`.")
    parquet = yield from in_background(_fetch, _progress)
    tensors: dict[str, NDArray[np.uint8]] = {}
    for split, file in parquet.items():
        images, labels = yield from _decoded(file)
        if _digest(images, labels) != DIGESTS[split]:
            raise UserError(
                f"{_PARQUET[split]} of {REPO} on the Hugging Face Hub does not hold the official images and labels of "
                "CIFAR-100, so it is not used."
            )
        tensors |= {f"{split}_images": images, f"{split}_labels": labels}
    _write(root / NAME, tensors)


def check(root: Path) -> None:
    """Raise UserError unless the file in `root` holds the official images and labels."""
    for split, digest in DIGESTS.items():
        if _digest(*read(root, split)) != digest:
            raise UserError(f"{root / NAME} is damaged: it does not hold the images of CIFAR-100; delete it.")


def read(root: Path, split: str) -> Rows:
    """Read a split of the file in `root`. Raises UserError if it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(root / NAME, "np") as content:
            return content.get_tensor(f"{split}_images"), content.get_tensor(f"{split}_labels")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{root / NAME} is damaged: {shorten(str(error), 200)}; delete it.") from error


def _fetch() -> dict[str, Path]:
    """Download the parquet files into the Hub's cache, or find them there."""
    import httpx2
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from tqdm import tqdm

    quiet: Any = partial(tqdm, disable=True)
    get = partial(hf_hub_download, REPO, repo_type="dataset", token=False, tqdm_class=quiet)
    failed = f"cannot download CIFAR-100 from the Hugging Face Hub's {REPO}:"
    try:
        return {split: Path(get(file)) for split, file in _PARQUET.items()}
    except HfHubHTTPError as error:
        raise UserError(f"{failed} it answered {error.response.status_code} when asked for a file.") from error
    except LocalEntryNotFoundError as error:
        raise UserError(f"{failed} the Hub can't be reached, and the files are not in its cache.") from error
    except (httpx2.TransportError, OSError) as error:
        raise UserError(f"{failed} {_first_line(error)}.") from error


def _progress() -> Progress:
    """Report how much the Hub's client has written: it tells nobody else."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    blobs = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=REPO, repo_type="dataset"), "blobs")
    size = 0
    for blob in blobs.glob("*"):
        with suppress(OSError):  # it is renamed when it is complete
            size += blob.stat().st_size
    return Progress(phase="download from the Hub", done=min(_BYTES, size), total=_BYTES)


def _decoded(file: Path) -> Generator[Progress, None, Rows]:
    """Decode all images of a parquet file. Raises UserError if it has another content."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    try:
        with ParquetFile(file) as rows:
            for batch in rows.iter_batches(_BATCH, columns=["img", "fine_label"]):
                images += [np.asarray(decode(bytes(image["bytes"]))) for image in batch["img"].to_pylist()]
                labels += batch["fine_label"].to_pylist()
                yield Progress(phase="read images", done=len(labels), total=rows.metadata.num_rows)
        return np.stack(images), np.array(labels, np.uint8)
    except (ArrowException, OSError, UserError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{file.name} of {REPO} on the Hugging Face Hub can't be read: {_first_line(error)}."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].removesuffix(".")


def _digest(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(labels.data)
    return digest.hexdigest()


def _write(file: Path, tensors: dict[str, NDArray[np.uint8]]) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        with files.replacing(file) as draft:
            save_file(tensors, draft)
    except SafetensorError as error:
        raise UserError(f"cannot write {file}: {error}. Free some disk space.") from error
