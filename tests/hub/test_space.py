"""The app as a Space: its files, its front matter, and which Spaces it may replace."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from resnet_cifar.errors import UserError
from resnet_cifar.hub.catalog import MARKER, deployed_run
from resnet_cifar.hub.space import deploy, plan_app, space_bundle
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import ROOT, result
from tests.hub.contents import READ, WRITE, Token
from tests.hub.rules import faults
from tests.hub.server import HubServer


def front_matter() -> dict:
    return yaml.safe_load((ROOT / "README.md").read_text().split("---\n")[1])


def staged(folder: Path) -> tuple[dict, list[str]]:
    """Front matter and requirements of a Space's files."""
    fields = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    return fields, (folder / "requirements.txt").read_text().split()


def test_the_front_matter_and_the_requirements_agree():
    fields = front_matter()
    (gradio,) = re.findall(r"^gradio>=([\d.]+),", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert fields["sdk"] == "gradio" and fields["sdk_version"] == f"{gradio}.0"
    assert (ROOT / fields["app_file"]).is_file() and fields["license"] == "mit"
    assert f'requires-python = ">={fields["python_version"]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_front_matter_keeps_the_hubs_rules():
    fields = front_matter()
    assert not faults("space", fields)
    assert fields["hf_oauth"] is True and fields["hf_oauth_scopes"] == ["contribute-repos", "jobs"]
    assert {"title", "emoji", "colorFrom", "colorTo", "models", "datasets", "python_version"} <= set(fields)
    for field, value in (
        ("suggested_hardware", "zero-a10g"),
        ("colorTo", "teal"),
        ("hf_oauth_scopes", ["all"]),
        ("license", "MIT"),
        ("sdkversion", "6"),
    ):
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
    assert space.private and space.sdk == "gradio" and not space.volumes
    hub.put("spaces", "me/app", {"old.py": b"of an earlier version"})
    result(deploy(small, "me/app"))
    files = hub.files("spaces", "me/app")
    assert "old.py" not in files and ".gitattributes" in files
    assert files["app.py"] == (ROOT / "app.py").read_bytes()


def test_only_zero_gpu_changes_the_versions(small: RunDir):
    with space_bundle(small, "cpu-basic") as folder:
        as_here, packages = staged(folder)
    assert as_here == front_matter() and packages == (ROOT / "requirements.txt").read_text().split()
    with space_bundle(small) as folder:
        fields, pinned = staged(folder)
    assert not faults("space", fields)
    assert fields == as_here | {"python_version": "3.12", "suggested_hardware": "zero-a10g"}
    assert {"torch==2.11.0", "torchvision==0.26.0", "spaces>=0.51,<1"} <= set(pinned)
    assert {re.split("[=>]", one)[0] for one in pinned} == {re.split("[=>]", one)[0] for one in packages} | {"spaces"}
    assert {one for one in packages if not one.startswith("torch")} <= set(pinned)


@pytest.mark.slow
def test_a_free_account_gets_two_spaces_on_zero_gpu_and_is_told_both_ways_out(hub: HubServer, small: RunDir):
    for name in ("me/one", "me/two"):
        result(deploy(small, name))
        assert hub.repo("spaces", name).hardware == "zero-a10g"
    for hardware, way in (
        (None, "delete or update one"),
        ("cpu-basic", "--hardware zero-a10g"),
        ("t4-small", "--hardware zero-a10g"),
    ):
        with pytest.raises(UserError) as error:
            result(deploy(small, "me/three", hardware=hardware))
        assert way in str(error.value) and "paid plan or credit" in str(error.value)
    assert ("spaces", "me/three") not in hub.repos
    result(deploy(small, "me/two"))  # an update


@pytest.mark.slow
def test_a_space_keeps_its_hardware_unless_another_is_asked_for(hub: HubServer, small: RunDir):
    hub.tokens[WRITE] = Token(pro=True)
    result(deploy(small, "me/app", hardware="cpu-basic"))
    result(deploy(small, "me/app"))
    space, python = hub.repo("spaces", "me/app"), b'python_version: "3.12"'
    assert space.hardware == "cpu-basic" and python not in hub.files("spaces", "me/app")["README.md"]
    before = hub.files("spaces", "me/app")
    with pytest.raises(UserError, match="refuses a Space on t4-small"):
        result(deploy(small, "me/app", hardware="t4-small"))
    assert space.hardware == "cpu-basic" and hub.files("spaces", "me/app") == before
    result(deploy(small, "me/app", hardware="zero-a10g"))
    assert space.hardware == "zero-a10g" and python in hub.files("spaces", "me/app")["README.md"]


def test_unknown_hardware_is_refused_before_any_request(hub: HubServer, small: RunDir):
    for work in (
        lambda: plan_app(small, "me/app", hardware="t5"),
        lambda: result(deploy(small, "me/app", hardware="t5")),
    ):
        with pytest.raises(UserError, match="--hardware is 't5'; it must be one of zero-a10g, cpu-basic"):
            work()
    assert not hub.requests


def test_a_new_and_empty_space_is_used(hub: HubServer, small: RunDir):
    hub.new_repo("spaces", "me/app", sdk="gradio")
    result(deploy(small, "me/app"))
    assert hub.files("spaces", "me/app")["app.py"] == (ROOT / "app.py").read_bytes()


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


OF_SPACE = {"type": "bucket", "source": "me/app-space-runs", "mountPath": "/data"}


@pytest.mark.slow
def test_a_space_gets_a_private_bucket_where_asked_for_and_keeps_what_it_has(hub: HubServer, small: RunDir):
    assert plan_app(small, "me/app", storage=True).bucket == "me/app-space-runs" and not hub.requests
    result(deploy(small, "me/app", storage=True))
    space, other = hub.repo("spaces", "me/app"), {"type": "model", "source": "me/other", "mountPath": "/models"}
    assert space.volumes == [OF_SPACE] and hub.cluster.visibility("me/app-space-runs") == "private"
    space.volumes = [other]
    for storage, mounted in ((False, [other]), (True, [other, OF_SPACE]), (True, [other, OF_SPACE])):
        hub.requests.clear()
        result(deploy(small, "me/app", storage=storage))
        changes = [request for request in hub.requests if request.path.endswith("/volumes")]
        assert space.volumes == mounted
    assert not changes  # it was there


def test_a_bucket_that_a_space_cannot_have_is_refused_before_anything_is_uploaded(hub: HubServer, small: RunDir):
    for path, method in (("/api/buckets", "POST"), ("/volumes", "PUT")):
        hub.fail(method, path, 403)
        with pytest.raises(UserError, match=r"refuses the bucket me/app-space-runs .* deploy without storage"):
            result(deploy(small, "me/app", storage=True))
        assert "app.py" not in hub.files("spaces", "me/app")
    space = hub.repo("spaces", "me/app")
    space.volumes = mine = [{"type": "bucket", "source": "me/mine", "mountPath": "/data"}]
    with pytest.raises(UserError, match="has me/mine mounted at /data"):
        result(deploy(small, "me/app", storage=True))
    assert space.volumes == mine and "app.py" not in hub.files("spaces", "me/app")


def test_a_space_knows_which_run_it_was_deployed_with(small: RunDir, tmp_path: Path):
    with space_bundle(small) as folder:
        assert deployed_run(folder) == "small"
    assert deployed_run(tmp_path) == ""
