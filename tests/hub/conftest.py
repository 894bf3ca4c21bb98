"""Fixtures of the Hub's tests: a local Hub, its client, and a run that need not be trained."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from resnet_cifar.hub import push as pushing
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import checkpoint, recipe, told
from tests.hub.contents import WRITE
from tests.hub.server import HubServer


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A local Hub. This process is logged in to it with write access, and retries at once."""
    with HubServer() as hub:
        hub.patch(monkeypatch, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", WRITE)
        monkeypatch.setattr(pushing, "_WAITS", (0.05, 0.05))
        yield hub


@pytest.fixture
def me(hub: HubServer) -> HfApi:
    """The Hub's client, logged in with write access."""
    return HfApi(endpoint=hub.url, token=WRITE)


@pytest.fixture
def small(tmp_path: Path) -> RunDir:
    """A run with made-up metrics and the weights of an untrained `tiny`."""
    run = told(tmp_path / "small", recipe()).run
    checkpoint(run.path, image_size=32)
    return run
