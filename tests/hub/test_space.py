"""The app as a Space: what goes there, and that it starts there and refuses what it should."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from resnet_cifar.errors import UserError
from resnet_cifar.hub import push as pushing
from resnet_cifar.hub.space import deploy, staged_app
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import ROOT, checkpoint, recipe, result, told
from tests.hub.contents import READ, WRITE
from tests.hub.rules import faults
from tests.hub.server import HubServer


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = told(tmp_path / "tiny", recipe()).run
    checkpoint(run.path, image_size=32)
    return run


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as hub:
        hub.patch(monkeypatch, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", WRITE)
        monkeypatch.setattr(pushing, "_WAITS", (0.05,))
        yield hub


def front_matter() -> dict:
    return yaml.safe_load((ROOT / "README.md").read_text().split("---\n")[1])


def test_the_front_matter_and_the_requirements_agree():
    told = front_matter()
    (gradio,) = re.findall(r"^gradio>=([\d.]+),", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert told["sdk"] == "gradio" and told["sdk_version"] == f"{gradio}.0"
    assert (ROOT / told["app_file"]).is_file() and told["license"] == "mit"
    assert f'requires-python = ">={told["python_version"]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_front_matter_keeps_the_hubs_rules():
    told = front_matter()
    assert not faults("space", told)
    assert told["hf_oauth"] is True and told["hf_oauth_scopes"] == ["contribute-repos"]
    assert {"title", "emoji", "colorFrom", "colorTo", "models", "datasets", "python_version"} <= set(told)
    for field, value in (("colorTo", "teal"), ("hf_oauth_scopes", ["all"]), ("license", "MIT"), ("sdkversion", "6")):
        assert faults("space", told | {field: value})


def test_all_of_the_app_and_nothing_else_goes_there(run: RunDir):
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    wanted = {name for name in tracked if name.startswith(("resnet_cifar/", "docs/"))}
    wanted |= {"app.py", "requirements.txt", "README.md", "LICENSE"}
    with staged_app(run) as folder:
        there = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    of_run = {name for name in there if name.startswith("checkpoints/tiny/")}
    assert there - of_run == wanted
    assert {"checkpoints/tiny/model.safetensors", "checkpoints/tiny/metrics.jsonl"} <= of_run


def test_a_space_is_made_and_updated(hub: HubServer, run: RunDir):
    assert result(deploy(run, "me/app")) == f"{hub.url}/spaces/me/app"
    space = hub.repo("spaces", "me/app")
    assert space.private and space.sdk == "gradio"
    hub.put("spaces", "me/app", {"old.py": b"of an earlier version"})
    result(deploy(run, "me/app"))
    files = hub.files("spaces", "me/app")
    assert "old.py" not in files and ".gitattributes" in files
    assert files["app.py"] == (ROOT / "app.py").read_bytes()


def test_who_may_not_is_refused(hub: HubServer, run: RunDir, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", READ)
    with pytest.raises(UserError, match="may only read"):
        result(deploy(run, "me/app"))
    (run.path / "model.safetensors").unlink()
    monkeypatch.setenv("HF_TOKEN", WRITE)
    with pytest.raises(UserError, match="there is no file"):
        result(deploy(run, "me/app"))
    assert not hub.repos
