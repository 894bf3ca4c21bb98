"""A download that goes wrong in every way ends verified or refused, leaves nothing, and begins anew the next time."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from torchvision.datasets import CIFAR100

from resnet_cifar.data import cifar100
from resnet_cifar.errors import UserError
from tests.builders import result
from tests.data.official import ARCHIVE, FOLDER, Answer, pack, redirect, send, served
from tests.faults.conftest import LONG, Table

VERIFIED, REFUSED = "ends verified", "is refused in a sentence, leaves nothing, and ends verified when tried again"
Packed = tuple[bytes, dict[str, Any]]


def changed(content: bytes, draw: random.Random) -> bytes:
    harmed = bytearray(content)
    harmed[draw.randrange(len(harmed))] ^= draw.randint(1, 255)
    return bytes(harmed)


FAULTS: dict[str, tuple[str, Callable[[bytes, random.Random], Answer]]] = {
    "cut at a random byte": (REFUSED, lambda whole, draw: send(whole[: draw.randrange(len(whole))], len(whole))),
    "shorter, with the length that it has": (REFUSED, lambda whole, draw: send(whole[: draw.randrange(len(whole))])),
    "longer": (REFUSED, lambda whole, draw: send(whole + draw.randbytes(draw.randint(1, 10_000)))),
    "whole, but a shorter length is told": (REFUSED, lambda whole, draw: send(whole, draw.randrange(len(whole)))),
    "whole, but a longer length is told": (
        VERIFIED,
        lambda whole, draw: send(whole, len(whole) + 10 ** draw.randint(0, 9)),
    ),
    "one byte is another (a wrong MD5)": (REFUSED, lambda whole, draw: send(changed(whole, draw))),
    "an error in place of it": (REFUSED, lambda _, draw: send(b"sorry", status=draw.choice((403, 404, 429, 500, 503)))),
    "slow": (VERIFIED, lambda whole, draw: send(whole, chunk=len(whole) // draw.randint(3, 6), pause=0.05)),
    "a redirect in a circle": (REFUSED, lambda *_: redirect(f"/{ARCHIVE}")),
    "a redirect to a file of this machine": (REFUSED, lambda *_: redirect("file:///etc/hostname")),
}


@pytest.fixture(scope="module")
def packed() -> Packed:
    return pack()


@pytest.fixture(autouse=True)
def _believed(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in packed[1].items():
        monkeypatch.setattr(CIFAR100, name, value)


def download(root: Path, *answers: Answer) -> None:
    with pytest.MonkeyPatch.context() as patch, served(*answers) as url:
        patch.setattr(CIFAR100, "url", url)
        assert result(cifar100.download(root, "official")) == root
    assert sorted(file.name for file in root.iterdir()) == [FOLDER, ARCHIVE]
    cifar100.check(root)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_server_sends_is_verified_or_refused(packed: Packed, tmp_path: Path, table: Table, fault: str):
    (must, answer), draw = FAULTS[fault], random.Random(fault)
    whole, times = packed[0], LONG // 10 or 2
    for number in range(times):
        root = tmp_path / str(number)
        if must == REFUSED:
            with pytest.raises(UserError, match="cannot download CIFAR-100 .*--data-dir"):
                download(root, answer(whole, draw))
            assert not list(root.iterdir())
            download(root, send(whole))
        else:
            download(root, answer(whole, draw))
    if LONG:
        table.tell("Download", f"what the server sends is {fault}" if fault in _SENT else fault, must, f"{times} times")


_SENT = ("cut at a random byte", "shorter, with the length that it has", "longer", "slow")


def test_a_redirect_is_followed(packed: Packed, tmp_path: Path):
    with served(send(packed[0])) as there:
        download(tmp_path / "data", redirect(there))


def test_three_at_once_download_once(packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table):
    """Two apps and a terminal on one folder: the others wait, and find what the first has brought."""
    whole, asked = packed[0], []
    slow = send(whole, chunk=len(whole) // 5, pause=0.1)
    with (
        served(lambda handler: (asked.append(handler.path), slow(handler), None)[-1]) as url,
        ThreadPoolExecutor() as at,
    ):
        monkeypatch.setattr(CIFAR100, "url", url)
        works = [at.submit(result, cifar100.download(tmp_path / "data", "official")) for _ in range(3)]
        assert [work.result() for work in works] == [tmp_path / "data"] * 3
    assert len(asked) == 1 and sorted(file.name for file in (tmp_path / "data").iterdir()) == [FOLDER, ARCHIVE]
    if LONG:
        must = "one downloads, the others wait and find it"
        table.tell("Download", "three at once, into one folder", must, f"{len(asked)} download")
