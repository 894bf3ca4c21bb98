"""A person's own images: read from a folder or a zip archive once, reported on, and stored small.

Every image is decoded once, to the central square at the side that training needs, and stored with the split that was
made. Memory holds the small images only, never the large ones.
"""

import hashlib
import json
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from resnet_cifar.data import own_store
from resnet_cifar.data.archive import Files, opened
from resnet_cifar.data.images import centre_square, decode
from resnet_cifar.data.layout import Entry, Layout, Skipped, read_layout
from resnet_cifar.data.own_report import SPLITS, Report
from resnet_cifar.data.own_store import OwnImages
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.system.memory import free_memory

_VERSION = 1  # of what is stored
_OF_MEMORY = 0.5  # part of the free memory that images may fill
_SHARES = {"val": 0.1, "test": 0.15}  # of a class's images, where no such folder is given


def read(path: Path, side: int, folder: Path | None = None) -> Generator[Progress, None, OwnImages]:
    """Read the images of a folder or a zip archive, at `side` pixels a side; the second time from what was stored.

    path: may also be a file that they were stored in. folder: where to store them; None: beside `path`. Raises
    UserError if the images cannot be learned from, with the reason.
    """
    if path.suffix == own_store.ENDING:
        if (stored := own_store.stored(path)) is None:
            raise UserError(f"{path} is missing or damaged; read the images again, from their folder or archive.")
        return stored
    with opened(path) as files:
        layout = read_layout(files.names())
        key = _key(files, layout, side)
        store = own_store.place(path, key) if folder is None else folder / f"{key}{own_store.ENDING}"
        if (stored := own_store.stored(store)) is not None:
            return stored
        own = yield from _decode(files, layout, side, store)
    own_store.write(own)
    return own


def _key(files: Files, layout: Layout, side: int) -> str:
    """Digest of everything that the stored images depend on: names, sizes and times or checksums of the files."""
    digest = hashlib.blake2b(f"{_VERSION} {side}".encode(), digest_size=12)
    for entry in layout.entries:
        digest.update(json.dumps([asdict(entry), files.stamp(entry.name)]).encode())
    digest.update(json.dumps([asdict(skipped) for skipped in layout.skipped]).encode())
    return digest.hexdigest()


def _decode(files: Files, layout: Layout, side: int, store: Path) -> Generator[Progress, None, OwnImages]:
    """Decode every image once; leave out the damaged ones and those whose content was there before."""
    total = len(layout.entries)
    _check_memory(total, side)
    pixels = np.zeros((total, 3, side, side), np.uint8)
    used: list[Entry] = []
    skipped = list(layout.skipped)
    first_with: dict[bytes, Entry] = {}
    for number, entry in enumerate(layout.entries):
        try:
            content = files.read(entry.name)
            image = centre_square(decode(content, entry.name), side)
        except UserError as error:
            skipped.append(Skipped(entry.name, str(error)))
        else:
            first = first_with.setdefault(_digest(content), entry)
            if first is entry:
                pixels[len(used)] = np.asarray(image).transpose(2, 0, 1)
                used.append(entry)
            else:
                skipped.append(_duplicate(entry, first))
        yield Progress(phase="read images", done=number + 1, total=total)
    labels, splits, made = assign(used, layout.labels)
    images = torch.from_numpy(pixels[: len(used)])
    report = _report(layout, labels, splits, skipped, made)
    return OwnImages(images, labels, splits, report, _fingerprint(images, labels, splits), store)


def _check_memory(images: int, side: int) -> None:
    """Raise UserError if the small images would fill the memory; an archive of tiny files can hold very many."""
    needed, free = images * 3 * side**2, free_memory(torch.device("cpu"))
    if free is not None and needed > _OF_MEMORY * free:
        raise UserError(
            f"{images:,} images at {side} px a side take {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB are free; use fewer images."
        )


def _fingerprint(*tensors: Tensor) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(tensor.numpy().data)
    return digest.hexdigest()


def _duplicate(entry: Entry, first: Entry) -> Skipped:
    """Leave out the second of two equal files. Raises UserError if one is to learn from and the other to test with."""
    if entry.split != first.split:
        raise UserError(
            f"{entry.name} and {first.name} have the same content, but one is {first.split} and the other "
            f"{entry.split}: results on images that were learned from mean nothing. Remove one of each such pair."
        )
    other = f", of class {first.label}" if entry.label != first.label else ""
    return Skipped(entry.name, f"the same content as {first.name}{other}")


def assign(entries: list[Entry], classes: tuple[str, ...]) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Find labels and splits of images: (N,) int64 each, and the splits that were made here.

    A missing val takes a tenth of each class's train images and a missing test 15 %, at least one each; a class of two
    images has no test image. The choice depends on the names of the files only. Raises UserError for a class with
    fewer than two images to learn from and choose with.
    """
    number = {label: place for place, label in enumerate(classes)}
    labels = torch.tensor([number[entry.label] for entry in entries], dtype=torch.long)
    splits = torch.tensor([SPLITS.index(entry.split or "train") for entry in entries], dtype=torch.long)
    made = tuple(name for name in ("val", "test") if not (splits == SPLITS.index(name)).any())
    for label in classes:
        of_class = [row for row, entry in enumerate(entries) if entry.label == label and not splits[row]]
        rows = sorted(of_class, key=lambda row: _digest(entries[row].name.encode()))  # random, the same everywhere
        if len(rows) < (2 if "val" in made else 1):
            raise UserError(
                f"class {label!r} has {len(rows)} usable train image{'' if len(rows) == 1 else 's'}, and at least two "
                "are needed; add some, or remove its folder."
            )
        for name in made:
            count = _share(name, len(rows))
            taken, rows = rows[:count], rows[count:]
            splits[taken] = SPLITS.index(name)
    return labels, splits, made


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _share(name: str, images: int) -> int:
    """Images of a class that go to a split, of those that are left."""
    if name == "test" and images < 2:  # the last one is to learn from
        return 0
    return max(1, round(_SHARES[name] * images))


def _report(layout: Layout, labels: Tensor, splits: Tensor, skipped: list[Skipped], made: tuple[str, ...]) -> Report:
    counts = {
        name: tuple(torch.bincount(labels[splits == place], minlength=len(layout.labels)).tolist())
        for place, name in enumerate(SPLITS)
    }
    return Report(shape=layout.shape, labels=layout.labels, counts=counts, skipped=tuple(skipped), made=made)
