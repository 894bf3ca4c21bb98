"""The app as a Space: its files, its front matter, and which Spaces it may replace."""

import re
import subprocess

import pytest
import yaml  # type: ignore[import-untyped]

from resnet_cifar.errors import UserError
from resnet_cifar.hub.space import MARKER, deploy, space_bundle
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import ROOT, result
from tests.hub.contents import READ, WRITE
from tests.hub.rules import faults
from tests.hub.server import HubServer


def front_matter() -> dict:
    return yaml.safe_load((ROOT / "README.md").read_text().split("---\n")[1])


def test_the_front_matter_and_the_requirements_agree():
    fields = front_matter()
    (gradio,) = re.findall(r"^gradio>=([\d.]+),", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert fields["sdk"] == "gradio" and fields["sdk_version"] == f"{gradio}.0"
    assert (ROOT / fields["app_file"]).is_file() and fields["license"] == "mit"
    assert f'requires-python = ">={fields["python_version"]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_front_matter_keeps_the_hubs_rules():
    fields = front_matter()
    assert not faults("space", fields)
    assert fields["hf_oauth"] is True and fields["hf_oauth_scopes"] == ["contribute-repos"]
    assert {"title", "emoji", "colorFrom", "colorTo", "models", "datasets", "python_version"} <= set(fields)
    for field, value in (("colorTo", "teal"), ("hf_oauth_scopes", ["all"]), ("license", "MIT"), ("sdkversion", "6")):
        assert faults("space", fields | {field: value})


@pytest.mark.process
def test_all_of_the_app_and_nothing_else_goes_there(small: RunDir):
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    wanted = {name for name in tracked if name.startswith(("resnet_cifar/", "docs/"))}
    wanted |= {"app.py", "requirements.txt", "README.md", "LICENSE", MARKER}
    with space_bundle(small) as folder:
        there = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    of_run = {name for name in there if name.startswith("checkpoints/small/")}
    assert there - of_run == wanted
    assert {"checkpoints/small/model.safetensors", "checkpoints/small/metrics.jsonl"} <= of_run


def test_a_space_is_created_and_updated(hub: HubServer, small: RunDir):
    assert result(deploy(small, "me/app")) == f"{hub.url}/spaces/me/app"
    space = hub.repo("spaces", "me/app")
    assert space.private and space.sdk == "gradio"
    hub.put("spaces", "me/app", {"old.py": b"of an earlier version"})
    result(deploy(small, "me/app"))
    files = hub.files("spaces", "me/app")
    assert "old.py" not in files and ".gitattributes" in files
    assert files["app.py"] == (ROOT / "app.py").read_bytes()


def test_a_new_and_empty_space_is_used(hub: HubServer, small: RunDir):
    hub.new_repo("spaces", "me/app", sdk="gradio")
    result(deploy(small, "me/app"))
    assert hub.files("spaces", "me/app")["README.md"] == (ROOT / "README.md").read_bytes()


@pytest.mark.parametrize(
    "files,shown",
    [
        (["app.py"], "app.py"),
        (["app.py", "cat.jpg", "data/a.csv"], "app.py, cat.jpg, data/a.csv"),
        (["a.py", "b.py", "resnet_cifar/__init__.py", "x", "y/z"], "a.py, b.py, resnet_cifar/__init__.py and 2 more"),
    ],
)
def test_a_space_that_was_not_deployed_from_here_is_left_alone(hub: HubServer, small: RunDir, files, shown: str):
    hub.put("spaces", "me/app", {"README.md": b"---\nsdk: gradio\n---\nmine"} | dict.fromkeys(files, b"mine"))
    before = hub.files("spaces", "me/app")
    with pytest.raises(UserError) as error:
        result(deploy(small, "me/app"))
    assert f"me/app holds files that were not deployed from here: {shown};" in str(error.value)
    assert f"choose another name, or delete that Space at {hub.url}/spaces/me/app/settings" in str(error.value)
    assert hub.files("spaces", "me/app") == before
    result(deploy(small, "me/other"))


def test_a_space_without_write_access_or_weights_is_refused(hub: HubServer, small: RunDir, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", READ)
    with pytest.raises(UserError, match="may only read"):
        result(deploy(small, "me/app"))
    (small.path / "model.safetensors").unlink()
    monkeypatch.setenv("HF_TOKEN", WRITE)
    with pytest.raises(UserError, match="there is no file"):
        result(deploy(small, "me/app"))
    assert not hub.repos
