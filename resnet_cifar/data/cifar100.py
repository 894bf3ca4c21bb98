"""The official CIFAR-100 files: find, check by MD5, download and read them."""

import os
import time
from collections.abc import Generator
from http.client import HTTPException
from pathlib import Path

import torch

from resnet_cifar.data.split import Split
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.paths import DATA
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.system.background import in_background

_FOLDER = "cifar-100-python"
_ARCHIVE = "cifar-100-python.tar.gz"
_ARCHIVE_BYTES = 169_001_437
_ABANDONED = 3600  # seconds without a write after which a partial download is abandoned


def splits(data_dir: Path | None) -> Generator[Progress, None, tuple[Split, Split]]:
    """Load the train and test splits onto the CPU; without a folder, download the files first. Raises UserError."""
    root = (yield from download()) if data_dir is None else find(data_dir)
    return _split(root, train=True), _split(root, train=False)


def check(data_dir: Path) -> None:
    """Raise UserError if the folder lacks the official files, or if one of them is damaged."""
    find(data_dir)


def _split(root: Path, train: bool) -> Split:
    from torchvision.datasets import CIFAR100 as Official

    official = Official(root, train=train)
    images = torch.from_numpy(official.data).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.tensor(official.targets), DATASETS["cifar100"])


def find(folder: Path) -> Path:
    """Find the folder that contains `cifar-100-python`: `folder` itself, its parent or a subfolder.

    The files are checked by MD5. Raises UserError if there are none, or if one is missing or damaged.
    """
    from torchvision.datasets import CIFAR100 as Official
    from torchvision.datasets.utils import calculate_md5

    if not os.path.isdir(folder):
        raise UserError(f"there is no data folder {folder}; name one that contains {_FOLDER}, or none to download it.")
    roots = [folder, *([folder.parent] if folder.name == _FOLDER else []), *sorted(folder.glob("*/"))]
    root = next((root for root in roots if os.path.isdir(root / _FOLDER)), None)
    if root is None:
        raise UserError(f"{folder} does not contain {_FOLDER}; name a folder that does, or none to download it.")
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
    return root


def download(root: Path = DATA) -> Generator[Progress, None, Path]:
    """Return the folder that contains the official files; download them into `root` if they are missing.

    Raises UserError if the download fails.
    """
    try:
        return find(root)
    except UserError:
        pass  # some or all of it is missing

    from torch.hub import download_url_to_file
    from torchvision.datasets import CIFAR100 as Official
    from torchvision.datasets.utils import check_integrity

    archive = root / _ARCHIVE

    def work() -> None:
        if not check_integrity(archive, Official.tgz_md5):
            download_url_to_file(Official.url, str(archive), progress=False)
        Official(root, download=True)  # checks the archive, unpacks it, checks the files

    try:
        root.mkdir(parents=True, exist_ok=True)
        for partial in root.glob(f"{_ARCHIVE}*.partial"):
            if time.time() - partial.stat().st_mtime > _ABANDONED:  # newer ones may be in use
                partial.unlink()
        yield from in_background(work, lambda: Progress(phase="download", done=_size(archive), total=_ARCHIVE_BYTES))
    except (OSError, RuntimeError, HTTPException) as error:
        raise UserError(
            f"cannot download CIFAR-100 from {Official.url} into {root}: {error}. Without a connection, "
            "name a folder that contains it with --data-dir, or try --data synthetic."
        ) from error
    return find(root)


def _size(archive: Path) -> int:
    """Return the bytes downloaded so far; torch downloads to a name with a random suffix."""
    return max((os.stat(file).st_size for file in archive.parent.glob(f"{archive.name}*")), default=0)
