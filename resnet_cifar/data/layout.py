"""Layouts of a person's own images: which files are images, and the class and split of each, from their names alone.

Three layouts are known: `class/image`, `split/class/image` and `class/split/image`, each with or without a folder
around it. Nothing here opens a file, so that a folder and an archive are read alike.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from resnet_cifar.errors import UserError

ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
"""Endings of image files, in lower case."""
EXPECTED = "class/image, split/class/image or class/split/image"
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
_SYSTEM = frozenset(("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin"))
_LONGEST_NAME = 100  # characters of a class name
_SHOWN = 5  # names in a message
_LOOSE = "in no folder, so it has no class"


@dataclass(frozen=True, slots=True)
class Entry:
    """An image file."""

    name: str
    """Path relative to the folder or in the archive, with slashes."""
    label: str
    """Name of its class."""
    split: str | None
    """train, val or test; None where the layout has no splits."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not used."""

    name: str
    reason: str


@dataclass(frozen=True)
class Layout:
    """Entries of a folder or an archive."""

    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...]
    """Files that are not used. Hidden and system files are not among them."""
    shape: str
    """The layout that was found, such as `split/class/image`."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, sorted; a name's place is its label number."""
        return tuple(sorted({entry.label for entry in self.entries}))


def read_layout(names: Iterable[str]) -> Layout:
    """Find the class and the split of each file.

    names: relative paths with slashes. Raises UserError if there are no images, fewer than two classes, or class names
    that are no use, saying which layout was expected and what was found.
    """
    images, skipped = _images(names)
    if not images:
        raise UserError(
            f"there are no images among the {len(skipped):,} files; expected {EXPECTED}, with files that end in "
            f"{', '.join(sorted(ENDINGS))}."
        )
    wrapper = _wrapper(images)
    inner = [(name, parts[len(wrapper) :]) for name, parts in images]
    shape, place = _shape([parts for _, parts in inner])
    entries = []
    for name, parts in inner:
        found = place(parts)
        if isinstance(found, str):
            skipped.append(Skipped(name, found))
        else:
            entries.append(Entry(name, *found))
    layout = Layout(tuple(sorted(entries, key=lambda entry: entry.name)), tuple(skipped), "/".join((*wrapper, shape)))
    _check(layout, images)
    return layout


def _images(names: Iterable[str]) -> tuple[list[tuple[str, tuple[str, ...]]], list[Skipped]]:
    """Separate image files, with the parts of their paths, from other files; drop hidden and system files."""
    images, skipped = [], []
    for name in sorted(names):
        parts = PurePosixPath(name).parts
        if any(part.startswith(".") or part.lower() in _SYSTEM for part in parts):
            continue
        ending = PurePosixPath(name).suffix
        if ending.lower() in ENDINGS:
            images.append((name, parts))
        else:
            skipped.append(Skipped(name, f"no image: its name ends in {ending}" if ending else "no image: no ending"))
    return images, skipped


def _wrapper(images: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[str, ...]:
    """Folders around all images that are neither a split nor the last folder above an image."""
    wrapper: list[str] = []
    while True:
        depth = len(wrapper)
        tops = {parts[depth] for _, parts in images}
        deep = all(len(parts) > depth + 2 for _, parts in images)
        if len(tops) > 1 or not deep or _split(*tops) is not None:
            return tuple(wrapper)
        wrapper += tops


def _split(name: str) -> str | None:
    return _SPLITS.get(name.lower())


Place = tuple[str, str | None] | str
"""Label and split of an image, or the reason why it has none."""


def _shape(paths: Sequence[tuple[str, ...]]) -> tuple[str, Callable[[tuple[str, ...]], Place]]:
    """Choose the layout of paths: its name, and a function that finds a path's place in it."""
    if any(len(parts) > 2 and _split(parts[0]) for parts in paths):
        return "split/class/image", _in_split_folders
    if any(len(parts) > 2 and _split(parts[1]) for parts in paths):
        return "class/split/image", _in_split_subfolders
    return "class/image", _in_class_folders


def _in_split_folders(parts: tuple[str, ...]) -> Place:
    split = _split(parts[0])
    if split is None:
        return f"not in a folder of a split such as train or test, but in {parts[0]}" if len(parts) > 1 else _LOOSE
    return (parts[1], split) if len(parts) > 2 else f"directly in {parts[0]}, so it has no class"


def _in_split_subfolders(parts: tuple[str, ...]) -> Place:
    if len(parts) < 2:
        return _LOOSE
    split = _split(parts[1]) if len(parts) > 2 else None
    return (parts[0], split) if split else f"not in a folder of a split such as {parts[0]}/train"


def _in_class_folders(parts: tuple[str, ...]) -> Place:
    if len(parts) < 2:
        return _LOOSE
    if _split(parts[0]):
        return f"directly in {parts[0]}, which names a split and never a class; rename the folder if it is a class"
    return parts[0], None


def _check(layout: Layout, images: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    """Raise UserError for classes that cannot be learned."""
    labels = layout.labels
    if len(labels) < 2:
        found = f"one class, {labels[0]!r}" if labels else "no class"
        example = f"; for instance, {layout.skipped[-1].name} is {layout.skipped[-1].reason}" if layout.skipped else ""
        raise UserError(
            f"the {len(images):,} images are in {found}, and at least two are needed; expected {EXPECTED}{example}."
        )
    spellings = defaultdict(set)
    for label in labels:
        spellings[label.casefold()].add(label)
        if len(label) > _LONGEST_NAME or not label.isprintable():
            raise UserError(
                f"the class name {label[:_LONGEST_NAME]!r} is too long or not printable; rename its folder."
            )
    for same in spellings.values():
        if len(same) > 1:
            first, second = sorted(same)[:2]
            raise UserError(f"the classes {first!r} and {second!r} differ only in case; rename one or merge them.")
    learned = {entry.label for entry in layout.entries if entry.split in (None, "train")}
    if unknown := [label for label in labels if label not in learned]:
        names = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
        raise UserError(f"{len(unknown)} classes have no train images: {names}; add some, or remove their folders.")
