"""Notes: what a person says about a run, in `notes.json`. It is never published and has no effect on the run."""

import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from resnet_cifar import decode
from resnet_cifar.errors import UserError
from resnet_cifar.system import files

NOTES = "notes.json"
COLOURS = 10
"""Colours in a palette. As long as a folder has fewer runs, each can have one of its own."""
_LARGEST = 200_000  # bytes of the file
_MAX_TEXT, _MAX_TAGS, _MAX_TAG = 4_000, 20, 40  # characters, tags, characters


@dataclass(frozen=True, kw_only=True, slots=True)
class Notes:
    """A person's text and tags, and the number of the run's colour in plots."""

    text: str = ""
    tags: tuple[str, ...] = ()
    colour: int = 0
    """Number of a colour in the palette; it stays with the run, whatever else is shown."""

    def __post_init__(self) -> None:
        if len(self.text) > _MAX_TEXT:
            raise UserError(f"the notes have {len(self.text)} characters; at most {_MAX_TEXT} can be saved.")
        if len(self.tags) > _MAX_TAGS:
            raise UserError(f"there are {len(self.tags)} tags; a run can have {_MAX_TAGS}.")
        for tag in self.tags:
            if not tag.strip() or len(tag) > _MAX_TAG:
                raise UserError(f"{decode.brief(tag)} is not a valid tag; use 1 to {_MAX_TAG} characters.")


def read_notes(folder: Path) -> Notes:
    """Read a run's notes. Without a usable file: no text, no tags, and a colour that follows from the name."""
    try:
        return decode.build(Notes, decode.parse(files.read_text(folder / NOTES, _LARGEST), NOTES), NOTES)
    except (OSError, UserError):
        return Notes(colour=zlib.crc32(folder.name.encode()) % COLOURS)


def write_notes(folder: Path, notes: Notes) -> None:
    """Replace a run's notes. Raises UserError if the disk refuses the file."""
    files.write_text(folder / NOTES, json.dumps(asdict(notes), indent=2) + "\n")


def free_colour(folders: Iterable[Path]) -> int:
    """Return the lowest colour number that none of the runs has, or else one that the fewest have."""
    used = [read_notes(folder).colour % COLOURS for folder in folders]
    return min(range(COLOURS), key=used.count)
