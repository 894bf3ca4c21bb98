"""A person's own images, read from folders and archives that the tests make."""

import shutil
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_cifar.data.layout import Entry
from resnet_cifar.data.own_images import assign, read
from resnet_cifar.data.own_report import SPLITS
from resnet_cifar.data.own_store import OwnImages
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress


def draw(file: Path, seed: int, size: tuple[int, int] = (40, 30)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes: 40 cats and 10 dogs."""
    root = tmp_path / "pets"
    for number in range(50):
        kind = "cat" if number < 40 else "dog"
        draw(root / kind / f"{number}.png", number)
    return root


def result(path: Path, side: int = 16) -> tuple[OwnImages, list[Progress]]:
    work, seen = read(path, side), []
    while True:
        try:
            seen.append(next(work))
        except StopIteration as end:
            return end.value, seen


def test_images_are_split_by_class_and_the_second_time_not_decoded(pets: Path):
    own, seen = result(pets)
    assert own.images.shape == (50, 3, 16, 16) and (seen[-1].done, seen[-1].total) == (50, 50)
    assert own.report.counts == {"train": (31, 8), "val": (4, 1), "test": (5, 1)}
    assert own.report.made == ("val", "test") and own.report.smallest == ("dog", 8)
    assert own.report.shape == "class/image" and own.report.warnings == ()
    again, seen = result(pets)
    assert not seen and again.report == own.report
    assert all(torch.equal(getattr(again, name), getattr(own, name)) for name in ("images", "labels", "splits"))
    draw(pets / "dog" / "60.png", 60)
    newer, seen = result(pets)
    assert seen and len(newer.labels) == 51
    kept = [row for row in range(51) if row != 50]  # the split of an image does not depend on the others of its class
    assert (newer.splits[kept] != own.splits).sum() <= 2


def test_an_archive_gives_what_its_folder_gives(pets: Path, tmp_path: Path):
    folder, _ = result(pets)
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path, "pets"))
    zipped, _ = result(archive)
    assert zipped.report.counts == folder.report.counts and zipped.report.shape == "pets/class/image"
    for split in range(3):
        assert (zipped.labels[zipped.splits == split] == 0).sum() == (folder.labels[folder.splits == split] == 0).sum()
    assert torch.equal(zipped.images.flatten(1).sort(0).values, folder.images.flatten(1).sort(0).values)


def test_splits_that_are_given_are_kept(tmp_path: Path):
    for number, place in enumerate(("train/cat", "train/dog", "valid/cat", "valid/dog")):
        for image in range(4):
            draw(tmp_path / place / f"{image}.png", 10 * number + image)
    own, _ = result(tmp_path)
    assert own.report.counts == {"train": (3, 3), "val": (4, 4), "test": (1, 1)} and own.report.made == ("test",)


def test_damaged_images_and_duplicates_are_left_out_and_told(pets: Path):
    (pets / "cat" / "broken.jpg").write_bytes(b"not an image")
    shutil.copy(pets / "cat" / "1.png", pets / "cat" / "copy.png")
    shutil.copy(pets / "cat" / "2.png", pets / "dog" / "copy.png")
    own, _ = result(pets)
    assert len(own.labels) == 50
    reasons = {skipped.name: skipped.reason for skipped in own.report.skipped}
    assert reasons["cat/broken.jpg"].startswith("cat/broken.jpg is not an image in a known format")
    assert reasons["cat/copy.png"] == "the same content as cat/1.png"
    assert reasons["dog/copy.png"] == "the same content as cat/2.png, of class cat"


def test_the_same_image_in_train_and_test_is_an_error_with_its_remedy(tmp_path: Path):
    for place in ("train/cat", "train/dog", "test/cat"):
        draw(tmp_path / place / "1.png", 1 if "cat" in place else 2)
    with pytest.raises(UserError, match=r"train/cat/1\.png and test/cat/1\.png have the same content.*Remove one"):
        result(tmp_path)


def test_small_classes(tmp_path: Path):
    def entries(cats: int) -> list[Entry]:
        return [Entry(f"{label}/{n}", label, None) for label, n in (("cat", cats), ("dog", 12)) for n in range(n)]

    for cats, expected in ((2, [1, 1, 0]), (3, [1, 1, 1]), (9, [7, 1, 1])):
        labels, splits, _ = assign(entries(cats), ("cat", "dog"))
        assert torch.bincount(splits[labels == 0], minlength=len(SPLITS)).tolist() == expected
    with pytest.raises(UserError, match="class 'cat' has 1 usable train image, and at least two are needed"):
        assign(entries(1), ("cat", "dog"))
    draw(tmp_path / "cat" / "1.png", 1)
    for number in range(12):
        draw(tmp_path / "dog" / f"{number}.png", 10 + number)
    draw(tmp_path / "cat" / "2.png", 2)
    own, _ = result(tmp_path)
    assert own.report.warnings == ("Few images to learn from, under 10: cat (2).", "No test images of: cat.")


def test_large_images_take_no_more_memory_than_their_small_copies(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "large.zip", "w") as archive:
        for number in range(12):
            draw(tmp_path / "large.png", number, (700, 600))
            archive.write(tmp_path / "large.png", f"{'cat' if number % 2 else 'dog'}/{number}.png")
    tracemalloc.start()
    own, _ = result(tmp_path / "large.zip", 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert own.images.shape == (12, 3, 64, 64)
    assert peak < 8e6  # two large images are 2.5 MB; all of them would be 15


def test_a_folder_that_can_not_be_written_to(pets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (pets / ".resnet_cifar").write_text("in the way")
    monkeypatch.setattr("resnet_cifar.data.own_store.UPLOADED", tmp_path / "data" / "own")
    result(pets)
    assert len(list((tmp_path / "data" / "own").glob("*.safetensors"))) == 1 and not result(pets)[1]


def test_images_that_would_fill_the_memory(pets: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resnet_cifar.data.own_images.free_memory", lambda _: 2 * 50 * 3 * 16**2)
    assert len(result(pets, 16)[0].labels) == 50
    with pytest.raises(UserError, match=r"50 images at 17 px a side take 0\.0 GiB of memory, and 0\.0 GiB are free"):
        result(pets, 17)


def test_what_was_stored_is_data_too(pets: Path, tmp_path: Path):
    own = result(pets)[0]
    shutil.rmtree(pets / "cat")
    again, seen = result(own.file)
    assert not seen and torch.equal(again.images, own.images) and again.fingerprint == own.fingerprint
    own.file.write_bytes(own.file.read_bytes()[:-9])
    with pytest.raises(UserError, match="is missing or damaged; read the images again"):
        result(own.file)
