"""Files of tensors: safetensors with checksums in their header, which are checked when a file is read.

`sha256` is that of the tensors, `header_sha256` that of everything else in the header, where there is more. A file is
refused if one does not match or a value is not finite.
"""

import errno
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from resnet_cifar.errors import Diverged, UserError
from resnet_cifar.system import files

_LARGEST = 4 * 10**9  # bytes: more than any network of this project needs to be resumed
_LONGEST_HEADER = 2 * 10**6  # bytes; safetensors itself believes 100 MB, whose million names take a minute and 1 GB
_META = torch.device("meta")  # its tensors have shapes and no values
_OWN = ("format", "sha256", "header_sha256")  # entries of the header that no caller writes


def write_tensors(file: Path, tensors: dict[str, Tensor], header: dict[str, str] | None = None) -> None:
    """Replace `file` by tensors, with their sha256 and `header` in its header.

    Raises UserError if the file cannot be written, and Diverged if a value is not finite; the old file is kept then.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if (name := _not_finite(ready)) is not None:
        raise Diverged(f"the values of {name} are no longer finite; try a new run with a lower --lr.")
    whole = {"format": "pt", "sha256": _digest(ready)}
    if header:
        whole |= {**header, "header_sha256": _digest_of_header(header)}
    try:
        with files.replacing(file) as draft:
            save_file(ready, draft, metadata=whole)
    except SafetensorError as error:
        raise UserError(
            f"cannot write {file}: {error}. Free some disk space; the previous file is unchanged."
        ) from error


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file's tensors and header. Raises UserError if it is missing, truncated, modified or not finite."""
    with _opened(file) as content:
        header = content.metadata() or {}
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    intact = header.get("sha256", "") in ("", _digest(tensors))
    if not intact or header.get("header_sha256", "") not in ("", _digest_of_header(header)):
        raise UserError(
            f"{file} is damaged: its {'header does' if intact else 'tensors do'} not match the sha256 in it; copy or "
            "download it again."
        )
    check_finite(tensors, file)
    return tensors, header


def read_shapes(file: Path) -> dict[str, Tensor]:
    """Read a file's tensors without their values, on the meta device. Raises UserError if it cannot be used."""
    with _opened(file) as content:
        names = content.keys()
        return {name: torch.empty(content.get_slice(name).get_shape(), device=_META) for name in names}


def tensors_id(file: Path) -> str:
    """Return the sha256 of a file's tensors, from its header where it is there. Raises UserError."""
    with _opened(file) as content:
        known = (content.metadata() or {}).get("sha256")
    return known or _digest(read_tensors(file)[0])


def check_finite(tensors: dict[str, Tensor], file: Path) -> None:
    """Raise UserError if a value is not finite."""
    if (name := _not_finite(tensors)) is not None:
        raise UserError(f"{file} cannot be used: {name} has values that are not finite.")


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open a safetensors file. Raises UserError for whatever goes wrong while it is open."""
    try:
        files.check_readable(file, _LARGEST)
        _check_header(file)
        with safe_open(file, "pt") as content:
            yield content
    except FileNotFoundError as error:
        raise UserError(f"there is no file {file}.") from error
    except (OSError, SafetensorError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else shorten(str(error), 200)
        raise UserError(f"{file} is truncated or not a safetensors file: {why}.") from error


def _check_header(file: Path) -> None:
    """Raise OSError if a file's header is longer than that of any network of this project."""
    with file.open("rb") as content:
        size = int.from_bytes(content.read(8), "little")
    if size > _LONGEST_HEADER:
        raise OSError(errno.EFBIG, f"its header has {size:,} bytes; at most {_LONGEST_HEADER:,} are read")


def _digest(tensors: dict[str, Tensor]) -> str:
    """Compute a sha256 of names, types, shapes and values, regardless of the order of the tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _digest_of_header(header: Mapping[str, str]) -> str:
    entries = sorted((name, value) for name, value in header.items() if name not in _OWN)
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def _not_finite(tensors: dict[str, Tensor]) -> str | None:
    """Return the name of the first tensor with a value that is not finite."""
    return next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)
