"""Runs of a Space that has a bucket: kept while the page is served, and there again after a restart."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from resnet_cifar.errors import UserError
from resnet_cifar.runs.mirror import Mirror
from resnet_cifar.ui import keeping
from resnet_cifar.ui.keeping import Keeping, keep_runs
from resnet_cifar.ui.page import serve
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.tab import training_notice
from tests.builders import checkpoint, recipe, told, wait
from tests.ui.conftest import free_port


def on_a_space(root: Path, bucket: Path, work: Callable[[str], Any]) -> Any:
    """Serve the page as a Space until it is told to end, which is after `work`, a function of its address."""
    before, port, results = signal.getsignal(signal.SIGTERM), free_port(), []

    def meanwhile() -> None:
        wait(lambda: signal.getsignal(signal.SIGTERM) is not before)
        try:
            results.append(work(f"http://127.0.0.1:{port}"))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=meanwhile)
    thread.start()
    serve(root, "127.0.0.1", port, storage=bucket)
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    return results[0]


def test_a_restarted_space_with_an_empty_disk_finds_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPACE_ID", "me/app")
    here, there, bucket = tmp_path / "here", tmp_path / "there", tmp_path / "bucket"
    here.mkdir()
    bucket.mkdir()
    on_a_space(here, bucket, lambda _: checkpoint(told(here / "mine", recipe()).run.path))
    assert (bucket / "mine" / "model.safetensors").read_bytes() == (here / "mine" / "model.safetensors").read_bytes()
    found = on_a_space(there, bucket, lambda url: httpx.post(f"{url}/gradio_api/run/runs", json={"data": []}).json())
    assert [run["name"] for run in found["data"][0]] == ["mine"]


def test_runs_are_kept_only_on_a_space_that_has_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert keep_runs(tmp_path, tmp_path) is None
    monkeypatch.setenv("SPACE_ID", "me/app")
    assert keep_runs(tmp_path, tmp_path / "nothing") is None
    assert "temporary" in training_notice(Rights()) and "kept" in training_notice(Rights(keeps_runs=True))


class Failing(Mirror):
    """A mirror whose copies fail, the first three in the same way."""

    def __init__(self) -> None:
        self.copies = 0

    def copy(self) -> None:
        self.copies += 1
        raise UserError("the bucket is full.") if self.copies < 4 else RuntimeError("what nobody expects.")


def test_what_fails_is_told_once_and_tried_again(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keeping, "PAUSE", 0.01)
    mirror = Failing()
    kept = Keeping(mirror)
    wait(lambda: mirror.copies > 6)
    kept.end()
    said = capsys.readouterr().out
    assert said.count("the bucket is full.") == 1 and said.count("what nobody expects.") == 1
