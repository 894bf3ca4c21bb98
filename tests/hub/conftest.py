"""Fixtures of the Hub's tests: a local Hub, and a run that need not be trained."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_cifar.engine.evaluate import summarise
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import checkpoint, recipe, told
from tests.hub.server import HubServer


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A local Hub. This process is logged in to it with write access, and retries at once."""
    with HubServer.logged_in(monkeypatch, tmp_path / "home") as hub:
        yield hub


@pytest.fixture
def small(tmp_path: Path) -> RunDir:
    """A run with the weights of an untrained `tiny`, made-up metrics and made-up test results."""
    run = told(tmp_path / "small", recipe()).run
    checkpoint(run.path, image_size=32)
    run.eval_file.write_text(json.dumps(summarise(torch.eye(100), torch.arange(100), DATASETS["synthetic"])))
    return run


@pytest.fixture
def resnet18(run: RunDir) -> RunDir:
    """The completed run, with a network that other libraries know in place of the tiny one; it is untrained."""
    run.recipe_file.write_text(replace(run.recipe(), arch="resnet18").to_json())
    checkpoint(run.path, arch="resnet18", image_size=32)
    return run
