"""Class and split of a person's own images, from their names: each trap that trips users elsewhere."""

import pytest

from resnet_cifar.data.layout import read_layout
from resnet_cifar.errors import UserError


def files(*folders: str, images: int = 3, ending: str = ".png") -> list[str]:
    return [f"{folder}/{number}{ending}" for folder in folders for number in range(images)]


def counts(layout) -> dict[tuple[str, str | None], int]:
    found: dict[tuple[str, str | None], int] = {}
    for entry in layout.entries:
        found[entry.label, entry.split] = found.get((entry.label, entry.split), 0) + 1
    return found


@pytest.mark.parametrize("wrapper", ["", "pets/", "pets/pets v2/"])
@pytest.mark.parametrize(
    ("folders", "shape", "expected"),
    [
        (("cat", "dog"), "class/image", {("cat", None): 3, ("dog", None): 3}),
        (
            ("Train/cat", "Train/dog", "VALIDATION/cat", "testing/dog"),
            "split/class/image",
            {("cat", "train"): 3, ("dog", "train"): 3, ("cat", "val"): 3, ("dog", "test"): 3},
        ),
        (
            ("cat/training", "dog/train", "dog/eval"),
            "class/split/image",
            {("cat", "train"): 3, ("dog", "train"): 3, ("dog", "test"): 3},
        ),
        (("train/cat", "train/dog"), "split/class/image", {("cat", "train"): 3, ("dog", "train"): 3}),
        (("cat/young/2024", "dog/old"), "class/image", {("cat", None): 3, ("dog", None): 3}),
    ],
)
def test_three_layouts_and_a_folder_around_them(wrapper, folders, shape, expected):
    layout = read_layout([wrapper + name for name in files(*folders)])
    assert layout.shape == wrapper + shape
    assert counts(layout) == expected and not layout.skipped
    assert layout.labels == ("cat", "dog")


def test_a_split_is_a_folder_and_never_a_part_of_a_files_name():
    layout = read_layout(["cat/test-1.png", "cat/val.png", "dog/train.png", "testimony/1.png"])
    assert counts(layout) == {("cat", None): 2, ("dog", None): 1, ("testimony", None): 1}


def test_system_files_are_nothing_and_others_are_listed_with_the_reason():
    names = files("cat", "dog", ending=".JPeG")
    hidden = [".DS_Store", "__MACOSX/cat/._0.png", "cat/Thumbs.db", "cat/.hidden.png", ".git/a.png", "dog/desktop.ini"]
    layout = read_layout([*names, *hidden, "notes.txt", "cat/README", "loose.png"])
    assert counts(layout) == {("cat", None): 3, ("dog", None): 3}
    reasons = {skipped.name: skipped.reason for skipped in layout.skipped}
    assert reasons == {
        "notes.txt": "no image: its name ends in .txt",
        "cat/README": "no image: no ending",
        "loose.png": "in no folder, so it has no class",
    }


def test_a_list_of_files_beside_the_images_is_no_layout_of_its_own():
    """As torchvision's Food101 is laid out."""
    layout = read_layout([*("food/" + name for name in files("images/pie", "images/soup")), "food/meta/train.txt"])
    assert counts(layout) == {("pie", None): 3, ("soup", None): 3}


@pytest.mark.parametrize(
    ("names", "reasons"),
    [
        (
            [*files("train/cat", "train/dog", "extra/cat"), "train/1.png", "2.png"],
            {
                "not in a folder of a split such as train or test, but in extra": 3,
                "directly in train, so it has no class": 1,
                "in no folder, so it has no class": 1,
            },
        ),
        ([*files("cat/train", "dog/train"), "cat/1.png"], {"not in a folder of a split such as cat/train": 1}),
        (
            files("cat", "dog", "test"),
            {"directly in test, which names a split and never a class; rename the folder if it is a class": 3},
        ),
    ],
)
def test_what_does_not_fit_the_layout_is_left_out_and_told(names, reasons):
    layout = read_layout(names)
    assert layout.labels == ("cat", "dog")
    found: dict[str, int] = {}
    for skipped in layout.skipped:
        found[skipped.reason] = found.get(skipped.reason, 0) + 1
    assert found == reasons


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "there are no images among the 0 files; expected class/image, split/class/image or class/split/image"),
        (["a/1.txt", "b/2.doc"], "there are no images among the 2 files"),
        (files("cat"), "in one class, 'cat', and at least two are needed"),
        (["1.png", "2.png"], "in no class, and at least two are needed"),
        (files("cat", "test"), "one class, 'cat'.*directly in test, which names a split"),
        (files("Cat", "cat", "dog"), "'Cat' and 'cat' differ only in case; rename one or merge them"),
        (files("train/cat", "train/dog", "test/cow"), "1 classes have no train images: cow"),
        (files("test/cat", "test/dog"), "2 classes have no train images: cat, dog"),
        (files("c\nat", "dog"), "not printable"),
        (files("c" * 101, "dog"), "too long"),
    ],
)
def test_classes_that_can_not_be_learned_are_refused_in_a_sentence(names, says):
    with pytest.raises(UserError, match=says):
        read_layout(names)
