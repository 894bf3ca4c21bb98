"""Notes, tags and colours of runs."""

from pathlib import Path

import pytest

from resnet_cifar.errors import UserError
from resnet_cifar.runs.notes import NOTES, Notes, free_colour, read_notes, write_notes
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import recipe


def test_notes_are_read_as_they_were_written(tmp_path: Path):
    notes = Notes(text="lower rate", tags=("try", "64 px"), colour=3)
    write_notes(tmp_path, notes)
    assert read_notes(tmp_path) == notes


@pytest.mark.parametrize("content", ["", "[]", '{"colour": "red"}', "[" * 100_000, '{"tags": [" "]}', "\xff"])
def test_damaged_notes_count_as_none(tmp_path: Path, content: str):
    (tmp_path / NOTES).write_text(content, encoding="latin-1")
    notes = read_notes(tmp_path)
    assert (notes.text, notes.tags) == ("", ()) and notes.colour == read_notes(tmp_path).colour >= 0


@pytest.mark.parametrize("wrong", [{"text": "x" * 4_001}, {"tags": ("x",) * 21}, {"tags": ("x" * 41,)}])
def test_notes_that_are_too_long_are_refused(wrong: dict):
    with pytest.raises(UserError):
        Notes(**wrong)


def test_a_run_keeps_its_colour_and_a_new_one_gets_a_free_one(tmp_path: Path):
    one, two, three = (RunDir.create_numbered(recipe(), tmp_path) for _ in range(3))
    assert [read_notes(run.path).colour for run in (one, two, three)] == [0, 1, 2]
    two.delete()
    renamed = three.rename("other")
    assert read_notes(renamed.path).colour == 2 and free_colour([one.path, renamed.path]) == 1
