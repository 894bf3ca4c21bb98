import os

import pytest
import torch

from resnet_cifar.system.device import choose_device, prepare


def test_choosing_a_device_changes_nothing_and_preparing_it_does(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [choose_device(name).type for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    assert not torch.backends.cudnn.deterministic and "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    assert not list(tmp_path.iterdir())
    prepare(choose_device("auto"))
    assert vars(torch.backends)["cudnn"].deterministic
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", os.environ["TORCHINDUCTOR_CACHE_DIR"])  # so that it is taken back
    assert (tmp_path / ".cache" / "resnet_cifar").is_dir()
