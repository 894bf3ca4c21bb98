import os
import time
from pathlib import Path

import pytest

from resnet_cifar.errors import UserError
from resnet_cifar.system import files


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path):
    target = tmp_path / "file"
    files.write_text(target, "old")
    with pytest.raises(KeyError), files.replacing(target) as draft:
        draft.write_text("half of the n")
        raise KeyError
    assert target.read_text() == "old"
    reader = target.open()
    files.write_text(target, "new")
    assert (reader.read(), target.read_text()) == ("old", "new")  # an open file keeps its old content
    reader.close()
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert time.time() - target.stat().st_mtime < 60


def test_replacing_a_file_leaves_the_modes_of_other_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The umask belongs to the whole process: were it changed, another thread could create a file at that moment."""
    umask = os.umask
    before = umask(0o077)

    def observed(mask: int) -> int:
        previous = umask(mask)
        (tmp_path / f"other-{mask:o}").touch()
        return previous

    monkeypatch.setattr(os, "umask", observed)
    try:
        files.write_text(tmp_path / "file", "text")
    finally:
        umask(before)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_replaced_file_has_the_mode_of_an_ordinary_file(tmp_path: Path, umask: int):
    """Whatever mode its writer, such as safetensors, gave it."""
    before = os.umask(umask)
    try:
        with files.replacing(tmp_path / "file") as draft:
            draft.touch(0o600)
        (tmp_path / "ordinary").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_writer_that_writes_nothing_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match="cannot write"), files.replacing(tmp_path / "file"):
        pass
    assert not list(tmp_path.iterdir())
