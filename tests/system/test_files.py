import os
import subprocess
import threading
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


def test_two_writers_of_a_file_do_not_meet(tmp_path: Path):
    """As two pages on one folder: whoever is last wins, and what is read meanwhile is whole."""
    target, errors = tmp_path / "file", []

    def write(letter: str) -> None:
        try:
            for _ in range(100):
                files.write_text(target, letter * 1000)
        except UserError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert not target.exists() or target.read_text() in ("a" * 1000, "b" * 1000)
    assert not errors and [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.process
def test_a_sweep_spares_what_is_being_written(tmp_path: Path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (".tmp-file", ".tmpJL4BZU", f".tmp-{ended.pid}-1-file", f".tmp-{os.getpid()}-1-file"):
        (tmp_path / name).touch()
    (tmp_path / ".tmp-folder").mkdir()
    with files.replacing(tmp_path / "file") as draft:
        draft.touch()
        files.sweep(tmp_path)
        assert {file.name for file in tmp_path.iterdir()} == {".tmp-folder", draft.name}
    assert {file.name for file in tmp_path.iterdir()} == {".tmp-folder", "file"}
