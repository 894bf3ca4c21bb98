"""Archives that were made to do harm are refused before a file of theirs is read, and none is ever unpacked."""

import stat
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from resnet_cifar.data import archive
from resnet_cifar.data.archive import opened
from resnet_cifar.errors import UserError


def packed(path: Path, contents: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as target:
        for name, content in contents.items():
            target.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught, opened(path):
        pass
    return str(caught.value)


def test_a_folder_and_its_archive_are_read_alike(tmp_path: Path):
    contents = {"cat/1.png": b"one", "dog/sub/2.png": b"two"}
    for name, content in contents.items():
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).write_bytes(content)
    for path in (tmp_path / "pets", packed(tmp_path / "pets.zip", {"dog/": b"", **contents})):
        with opened(path) as files:
            assert {name: files.read(name) for name in files.names()} == contents
            assert files.stamp("cat/1.png")[0] == 3


@pytest.mark.parametrize(
    "name", ["../evil.png", "cat/../../evil.png", "/etc/evil.png", "cat\\..\\evil.png", "C:/evil.png"]
)
def test_names_that_lead_out_of_an_archive(tmp_path: Path, name: str):
    info = zipfile.ZipInfo("x")
    info.filename = name  # zipfile itself would mend it
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr(info, b"x")
    assert "a name that leads out of the archive" in refusal(tmp_path / "a.zip")


def test_a_link(tmp_path: Path):
    info = zipfile.ZipInfo("cat/1.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr(info, "/etc/passwd")
    assert "holds a link, 'cat/1.png'" in refusal(tmp_path / "a.zip")


def test_an_encrypted_archive(tmp_path: Path):
    content = bytearray(packed(tmp_path / "a.zip", {"cat/1.png": b"x"}).read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 8] |= 1  # the flag in the list of files
    (tmp_path / "a.zip").write_bytes(content)
    assert refusal(tmp_path / "a.zip") == "a.zip is encrypted; save it without a password."


def test_a_bomb_costs_no_memory(tmp_path: Path):
    bomb = packed(tmp_path / "bomb.zip", {f"cat/{number}.png": bytes(2**24) for number in range(4)})
    tracemalloc.start()
    assert "times its size, which no archive of images does" in refusal(bomb)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_file_that_is_longer_than_its_archive_says_is_read_no_further(tmp_path: Path):
    content = bytearray(packed(tmp_path / "a.zip", {"cat/1.png": bytes(2**20)}).read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    with opened(tmp_path / "a.zip") as files, pytest.raises(UserError, match=r"cannot read cat/1\.png: it is damaged"):
        files.read("cat/1.png")


def test_bounds_on_files_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    many = packed(tmp_path / "many.zip", {f"cat/{number}.png": b"x" for number in range(10_000)})
    with opened(many) as files:
        assert len(files.names()) == 10_000
    monkeypatch.setattr(archive, "MAX_FILES", 9_999)
    assert refusal(many) == "many.zip holds 10,000 files, and up to 9,999 are allowed."
    monkeypatch.setattr(archive, "MAX_BYTES", 10)
    assert "unpacks to 0 GiB" in refusal(packed(tmp_path / "large.zip", {"cat/1.png": b"x" * 11}))
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 10)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"x" * 11)
    with opened(tmp_path) as files, pytest.raises(UserError, match=r"cat/1\.png has 0 MiB"):
        files.read("cat/1.png")


def test_what_is_neither_a_folder_nor_an_archive(tmp_path: Path):
    assert refusal(tmp_path / "gone").startswith("there is no ")
    (tmp_path / "a.zip").write_bytes(b"PK but not quite")
    assert refusal(tmp_path / "a.zip").startswith("a.zip is not a zip archive, or it is damaged")
    whole = packed(tmp_path / "b.zip", {"cat/1.png": b"x" * 1000}).read_bytes()
    (tmp_path / "b.zip").write_bytes(whole[: len(whole) // 2])
    assert refusal(tmp_path / "b.zip").startswith("b.zip is not a zip archive, or it is damaged")
