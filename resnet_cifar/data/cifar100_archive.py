"""The official archive of CIFAR-100, from a server that some days sends it within a minute and some within an hour."""

import secrets
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.request import Request, urlopen

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.system.background import in_background

_ARCHIVE = "cifar-100-python.tar.gz"
_BYTES = 169_001_437
_BLOCK = 2**16  # bytes
_SILENCE = 20.0  # seconds without a byte after which the server counts as down
_WINDOW = 20.0  # seconds over which the speed is measured
_LONGEST = 600.0  # seconds; a download that would take longer from now on is slow


class TooSlow(UserError):
    """Raised if the server answers, but the download would take too long."""


def download(root: Path, when_slow: Callable[[str], None]) -> Generator[Progress, None, None]:
    """Download the archive into `root` and unpack it there; no other process may do so at the same time.

    when_slow: called, in another thread, with a sentence while the rest would take longer than ten minutes; it may
    raise TooSlow to end the download. Raises UserError if the download fails or its MD5 is not the official one.
    """
    from torchvision.datasets import CIFAR100 as Official
    from torchvision.datasets.utils import check_integrity, extract_archive

    archive, received = root / _ARCHIVE, 0

    def count(size: int) -> None:
        nonlocal received
        received += size

    def work() -> None:
        if not check_integrity(archive, Official.tgz_md5):
            slow = f"{Official.url} is slow: the rest of the download would take more than {_LONGEST / 60:.0f} minutes."
            _fetch(Official.url, archive, Official.tgz_md5, count, lambda: when_slow(slow))
        extract_archive(archive, root)

    try:
        _sweep(root)
        yield from in_background(work, lambda: Progress(phase="download", done=received, total=_BYTES))
    except (OSError, RuntimeError, HTTPException) as error:
        why = (str(error) or type(error).__name__).splitlines()[0].removesuffix(".")
        raise UserError(f"cannot download CIFAR-100 from {Official.url} into {root}: {why}.") from error


def give_up(slow: str) -> None:
    """End a slow download."""
    raise TooSlow(slow)


def progress_elsewhere(root: Path) -> Progress:
    """Report how much another process has downloaded into `root`."""
    sizes = [0]
    for partial in _partials(root):
        with suppress(OSError):  # it is renamed when it is complete
            sizes.append(partial.stat().st_size)
    return Progress(phase="download", done=max(sizes), total=_BYTES)


def _partials(root: Path) -> Iterator[Path]:
    return root.glob(f"{_ARCHIVE}*.partial")


def _sweep(root: Path) -> None:
    """Remove what killed processes left."""
    for partial in _partials(root):
        partial.unlink(missing_ok=True)


def _fetch(url: str, archive: Path, md5: str, count: Callable[[int], None], when_slow: Callable[[], None]) -> None:
    from torchvision.datasets.utils import calculate_md5

    partial = archive.with_name(f"{archive.name}.{secrets.token_hex(4)}.partial")
    request = Request(url, headers={"User-Agent": "resnet_cifar"})
    try:
        with urlopen(request, timeout=_SILENCE) as answer, partial.open("xb") as file:
            for block in _blocks(answer, when_slow):
                file.write(block)
                count(len(block))
        if (actual := calculate_md5(partial)) != md5:
            raise RuntimeError(f"it sent {partial.stat().st_size:,} bytes with the MD5 {actual}, not {md5}")
        partial.replace(archive)
    finally:
        partial.unlink(missing_ok=True)


def _blocks(answer: HTTPResponse, when_slow: Callable[[], None]) -> Iterator[bytes]:
    """Yield a body's blocks as they come; call `when_slow` after each window in which the server was slow."""
    left, before, since = _BYTES, _BYTES, time.monotonic()
    while block := answer.read1(_BLOCK):  # read would wait for the whole block
        yield block
        left -= len(block)
        waited = time.monotonic() - since
        if waited >= _WINDOW:
            if left * waited > _LONGEST * (before - left):
                when_slow()
            before, since = left, time.monotonic()
