"""CIFAR-100 from the Hub: the real client, a local Hub, and parquet files like the real ones with a few images."""

import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from torchvision.datasets import CIFAR100

from resnet_cifar.cli import main as cli
from resnet_cifar.data import cifar100, cifar100_hub
from resnet_cifar.errors import UserError
from tests.builders import checkpoint, result
from tests.data.parquet import GOOD, LABELS, PIXELS, TEST, digest, parquet
from tests.hub.server import HubServer


def test_it_is_downloaded_checked_and_not_downloaded_twice(hub: HubServer, tmp_path: Path):
    root = tmp_path / "data"
    assert result(cifar100.download(root, "hub")) == root
    for split, name in zip(result(cifar100.splits(root)), PIXELS, strict=True):
        assert torch.equal(split.images, torch.from_numpy(PIXELS[name]).permute(0, 3, 1, 2))
        assert split.labels.tolist() == LABELS[name] and split.labels.dtype == torch.int64
    assert {request.token for request in hub.requests} == {None}  # nobody needs to know who downloads
    asked = len(hub.requests)
    assert result(cifar100.download(root, "hub")) == result(cifar100.download(root)) == root
    assert len(hub.requests) == asked


def test_the_hub_is_tried_second_and_named(hub: HubServer, tmp_path: Path):
    with pytest.warns(UserWarning, match="nobody-listens.*Connection refused.*from the Hugging Face Hub instead"):
        phases = [progress.phase for progress in cifar100.download(tmp_path / "data")]
    assert list(dict.fromkeys(phases))[-2:] == ["download from the Hub", "read images"]
    assert cifar100.find(tmp_path / "data") == tmp_path / "data"
    with pytest.raises(UserError, match="nobody-listens") as refusal:
        result(cifar100.download(tmp_path / "other", "official"))
    assert "--data-source hub" in str(refusal.value)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        pytest.param({TEST: parquet(PIXELS["test"] ^ 1, LABELS["test"])}, "not hold the official images", id="pixels"),
        pytest.param(
            {TEST: parquet(PIXELS["test"], LABELS["test"][::-1])}, "not hold the official images", id="labels"
        ),
        pytest.param({TEST: parquet(PIXELS["test"][::-1], LABELS["test"])}, "not hold the official", id="order"),
        pytest.param({TEST: parquet(PIXELS["test"][:, :9], LABELS["test"])}, "not hold the official", id="small"),
        pytest.param({TEST: parquet(PIXELS["test"], LABELS["test"], "image")}, "can't be read: .*img", id="columns"),
        pytest.param({TEST: parquet(PIXELS["test"], [999] * 5)}, "can't be read: .*999", id="no labels"),
        pytest.param({TEST: parquet([None], [0])}, "can't be read: ", id="no image"),
        pytest.param({TEST: parquet([], [])}, "can't be read: ", id="nothing"),
        pytest.param({TEST: b"PAR1 not it PAR1"}, "test-00000-of-00001.parquet .*can't be read: ", id="no parquet"),
        pytest.param({TEST: GOOD[TEST][:-99]}, "can't be read: ", id="truncated"),
    ],
)
def test_other_data_is_refused(hub: HubServer, tmp_path: Path, files: dict[str, bytes], says: str):
    hub.put("datasets", cifar100_hub.REPO, files)
    with pytest.raises(UserError, match=f"(?s){says}.*--data-dir"):
        result(cifar100.download(tmp_path / "data", "hub"))
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("source", ["hub", None])
@pytest.mark.parametrize("trouble", ["missing", "down", "offline", "cut"])
def test_trouble_with_the_hub_is_a_sentence(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, source: str | None
):
    if trouble == "missing":
        del hub.repo("datasets", cifar100_hub.REPO).at("main").files[TEST]
    elif trouble == "down":
        hub.stop()
    elif trouble == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        hub.cut("GET", TEST, times=99)
    with pytest.warns(UserWarning, match="Hub instead") if source is None else pytest.raises(UserError):
        with pytest.raises(UserError) as refusal:
            result(cifar100.download(tmp_path / "data", source))
        said = str(refusal.value)
        assert ("nobody-listens" in said) is (source is None)  # both reasons
        what = {"missing": "answered 404", "cut": "uoft-cs/cifar100: "}.get(trouble, "Hub can't be reached")
        assert what in said and said.endswith("or try --data synthetic."), said
        assert list((tmp_path / "data").iterdir()) == []
        if source is not None:
            raise refusal.value


def test_a_cut_connection_is_resumed_and_the_cache_needs_none(hub: HubServer, tmp_path: Path):
    hub.cut("GET", TEST, after_bytes=2000)
    result(cifar100.download(tmp_path / "data", "hub"))
    hub.stop()
    assert result(cifar100.download(tmp_path / "other", "hub")) == tmp_path / "other"


def test_a_damaged_copy_is_refused_and_replaced(hub: HubServer, tmp_path: Path):
    file = result(cifar100.download(tmp_path, "hub")) / cifar100_hub.NAME
    good = file.read_bytes()
    for damaged in (good[:-1] + bytes([good[-1] ^ 1]), good[:-1], b""):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match="cifar100-hub.safetensors is damaged: .*delete it"):
            cifar100.check(tmp_path)
    assert result(cifar100.download(tmp_path, "hub")) == tmp_path
    assert file.read_bytes() == good


def test_without_pyarrow_the_command_that_installs_it_is_named(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="needs a package: `pip install pyarrow`"):
        result(cifar100.download(tmp_path, "hub"))
    with pytest.raises(UserError, match="nobody-listens.*pip install pyarrow"):
        result(cifar100.download(tmp_path))
    assert not hub.requests


def test_it_is_chosen_in_the_terminal(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("resnet_cifar.paths.DATA", tmp_path / "data")
    monkeypatch.delenv("CIFAR100_DIR", raising=False)
    chosen, model = ("--data-source", "hub"), checkpoint(tmp_path / "model", image_size=32)
    assert cli.main(["--evaluate", str(model), "--device", "cpu", *chosen]) == 0
    said = capsys.readouterr()
    assert "on 5 images" in said.out and f"CIFAR-100 is in {tmp_path / 'data'}" in said.err
    for more, why in (
        (("--data-dir", "there"), "--data-dir there has it"),
        (("--data", "synthetic"), "here is synthetic"),
    ):
        assert cli.main(["--train-only", "--recipe", "quick", *chosen, *more]) == 2
        assert why in capsys.readouterr().err


@pytest.mark.slow
def test_the_digests_are_those_of_the_official_files(cifar100_dir: Path):
    """Reads all of them: about two seconds."""
    for split, expected in cifar100_hub.DIGESTS.items():
        official = CIFAR100(cifar100_dir, train=split == "train")
        assert digest(official.data, official.targets) == expected
