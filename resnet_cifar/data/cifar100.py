"""CIFAR-100, as its official files or as the Hub's copy of them: find, check, download and read it."""

import os
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from resnet_cifar.data import cifar100_archive, cifar100_hub
from resnet_cifar.data.split import Split
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.paths import DATA
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.system import files

_FOLDER = "cifar-100-python"
_PAUSE = 0.2  # seconds between two looks at another process that downloads
_OTHER = f"--data-source hub downloads it from the Hugging Face Hub; that needs `{cifar100_hub.INSTALL}`."


def splits(data_dir: Path | None) -> Generator[Progress, None, tuple[Split, Split]]:
    """Load the train and test splits onto the CPU; without a folder, download the files first. Raises UserError."""
    root = (yield from download()) if data_dir is None else find(data_dir)
    return _split(root, train=True), _split(root, train=False)


def check(data_dir: Path) -> None:
    """Raise UserError if the folder lacks the data, or if a file is damaged."""
    find(data_dir)


def _split(root: Path, train: bool) -> Split:
    if os.path.isfile(root / cifar100_hub.NAME):
        pixels, labels = cifar100_hub.read(root, "train" if train else "test")
    else:
        from torchvision.datasets import CIFAR100 as Official

        official = Official(root, train=train)
        pixels, labels = official.data, np.array(official.targets)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.from_numpy(labels).long(), DATASETS["cifar100"])


def find(folder: Path) -> Path:
    """Find the folder that contains `cifar-100-python` or the Hub's copy: `folder` itself, its parent or a subfolder.

    The files are checked by digests. Raises UserError if there are none, or if one is missing or damaged.
    """
    if not os.path.isdir(folder):
        raise UserError(f"there is no data folder {folder}; name one that contains {_FOLDER}, or none to download it.")
    roots = [folder, *([folder.parent] if folder.name == _FOLDER else []), *sorted(folder.glob("*/"))]
    if copy := next((root for root in roots if os.path.isfile(root / cifar100_hub.NAME)), None):
        cifar100_hub.check(copy)
        return copy
    root = next((root for root in roots if os.path.isdir(root / _FOLDER)), None)
    if root is None:
        raise UserError(f"{folder} does not contain {_FOLDER}; name a folder that does, or none to download it.")
    _check_official(root)
    return root


def _check_official(root: Path) -> None:
    from torchvision.datasets import CIFAR100 as Official
    from torchvision.datasets.utils import calculate_md5

    for name, md5 in (*Official.train_list, *Official.test_list, (Official.meta["filename"], Official.meta["md5"])):
        file = root / _FOLDER / name
        if not os.path.isfile(file):
            raise UserError(f"{file} is missing: {_FOLDER} is incomplete; download or unpack it again.")
        try:
            actual = calculate_md5(file)
        except OSError as error:
            raise UserError(f"cannot read {file}: {error.strerror}.") from error
        if actual != md5:
            raise UserError(f"{file} is damaged or incomplete: its MD5 is {actual}, not {md5}; download it again.")


def download(root: Path = DATA, source: str | None = None) -> Generator[Progress, None, Path]:
    """Return the folder that contains the data; download it into `root` if it is missing.

    source: one of CIFAR100_SOURCES; by default the official server and, where that is down or slow, the Hub. Warns when
    the source changes. Raises UserError if the download fails.
    """
    try:
        return find(root)
    except UserError:
        pass  # some or all of it is missing
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = yield from _alone(root)
        try:
            yield from _download_missing(root, source)
        finally:
            os.close(lock)
    except (UserError, OSError) as error:
        why = error if isinstance(error, UserError) else f"cannot download CIFAR-100 into {root}: {error.strerror}."
        raise UserError(
            f"{why} Without a connection, name a folder that contains it with --data-dir, or try --data synthetic."
        ) from error
    return find(root)


def _alone(root: Path) -> Generator[Progress, None, int]:
    """Wait until no other process downloads into a folder; returns the descriptor that keeps it so."""
    while (lock := files.lock(root)) is None:
        time.sleep(_PAUSE)
        yield cifar100_archive.progress_elsewhere(root)
    return lock


def _download_missing(root: Path, source: str | None) -> Generator[Progress, None, None]:
    with suppress(UserError):
        find(root)  # another process was faster
        return
    if source == "hub":
        yield from cifar100_hub.download(root)
    elif source is None and cifar100_hub.installed():
        yield from _from_either(root)
    else:
        try:
            yield from _from_server(root, _advise)
        except UserError as error:
            raise UserError(f"{error} {_OTHER}") from error


def _from_either(root: Path) -> Generator[Progress, None, None]:
    """Download from the official server, or else from the Hub, or else from the official server, however slow it is."""
    try:
        yield from _from_server(root, cifar100_archive.give_up)
        return
    except UserError as error:
        first = error
    warnings.warn(f"{first} CIFAR-100 is downloaded from the Hugging Face Hub instead.", stacklevel=2)
    try:
        yield from cifar100_hub.download(root)
    except UserError as error:
        if not isinstance(first, cifar100_archive.TooSlow):
            raise UserError(f"{first} {error}") from error
        warnings.warn(f"{error} CIFAR-100 is downloaded from the official server, however slow.", stacklevel=2)
        yield from _from_server(root, lambda _: None)


def _from_server(root: Path, when_slow: Callable[[str], None]) -> Generator[Progress, None, None]:
    yield from cifar100_archive.download(root, when_slow)
    (root / cifar100_hub.NAME).unlink(missing_ok=True)  # or `find` would refuse it: it is damaged


def _advise(slow: str) -> None:
    warnings.warn(f"{slow} {_OTHER}", stacklevel=2)
