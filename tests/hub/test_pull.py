"""What was pushed is loaded back, by us and by others; and what is none of ours is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file

from resnet_cifar.errors import UserError
from resnet_cifar.hub.catalog import load_classifier
from resnet_cifar.hub.pull import pull, repo_of
from resnet_cifar.hub.push import push
from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.recipe.classes import FINE
from resnet_cifar.runs.run_dir import RunDir
from tests.awkward import halves
from tests.builders import CPU, content, result
from tests.hub.contents import ORG
from tests.hub.server import HubServer

Network = Callable[[torch.Tensor], torch.Tensor]


@pytest.mark.parametrize(
    "where,repo",
    [
        ("me/tiny", ("me/tiny", None)),
        ("me/tiny@v1.0", ("me/tiny", "v1.0")),
        ("me/tiny@refs/pr/1", ("me/tiny", "refs/pr/1")),
        ("tiny", None),
        ("./me/tiny", None),
        ("/me/tiny", None),
        ("me/tiny/more", None),
        ("../tiny", None),
        ("me/ti ny", None),
    ],
)
def test_what_is_a_repo_and_what_a_path(where: str, repo, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(Path(__file__).parent.parent)
    assert repo_of(where) == repo


def refuse_all(named: str, files: Callable[[dict[str, bytes]], dict[str, bytes]], says: str):
    return pytest.param(files, says, id=named)


@pytest.mark.parametrize(
    "files,says",
    [
        refuse_all(
            "a pickle", lambda good: {"pytorch_model.bin": b"x", "config.json": good["config.json"]}, "as a pickle"
        ),
        refuse_all("no weights", lambda good: {"config.json": good["config.json"]}, "has no model.safetensors"),
        refuse_all("no config", lambda good: {"model.safetensors": good["model.safetensors"]}, "has no config.json"),
        refuse_all(
            "not ours",
            lambda good: good | {"config.json": b'{"architecture": "vit"}'},
            "not describe a model of this project",
        ),
        refuse_all(
            "wrong sizes",
            lambda good: good | {"config.json": good["config.json"].replace(b"tiny", b"resnet34")},
            "does not fit",
        ),
        refuse_all("truncated", lambda good: good | {"model.safetensors": good["model.safetensors"][:-9]}, "truncated"),
    ],
)
def test_a_repo_that_is_no_checkpoint_of_ours_is_refused(hub: HubServer, run: RunDir, files, says: str):
    good = {name: content(run)[name] for name in ("model.safetensors", "config.json")}
    hub.put("models", "you/odd", files(good))
    with pytest.raises(UserError, match=says):
        load_classifier("you/odd", "cpu")


def test_a_repo_that_is_too_large_is_not_fetched(hub: HubServer, run: RunDir, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resnet_cifar.hub.pull._LARGEST", 1000)
    result(push(run, "me/tiny"))
    hub.requests.clear()
    with pytest.raises(UserError, match="too large for a ResNet"):
        pull("me/tiny")
    assert not [request for request in hub.requests if "resolve" in request.path]


@pytest.mark.slow
def test_a_revision_is_what_it_was(hub: HubServer, run: RunDir):
    result(push(run, "me/tiny"))
    first = hub.repo("models", "me/tiny").history()[0].id
    hub.put("models", "me/tiny", {"config.json": b"{}"})
    with pytest.raises(UserError, match="not describe a model of this project"):
        load_classifier("me/tiny", "cpu")
    assert load_classifier(f"me/tiny@{first}", "cpu").predict([halves()])
    for missing in ("me/tiny@nowhere", "me/nothing"):
        with pytest.raises(UserError, match=f"there is no '{missing}'"):
            load_classifier(missing, "cpu")


@pytest.mark.parametrize("token", [None, ORG, "hf_wrong"])
def test_a_private_repo_looks_missing_to_others(hub: HubServer, small: RunDir, monkeypatch, token: str | None):
    result(push(small, "me/small"))
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    for name in ("me/small", "me/nothing"):
        with pytest.raises(UserError, match=f"there is no '{name}' .* if it is private, log in"):
            pull(name)


@pytest.mark.slow
def test_a_download_goes_on_where_it_was_cut(hub: HubServer, resnet18: RunDir):
    """The client writes 10 MiB at a time, and waits 1 s before it goes on."""
    result(push(resnet18, "me/tiny"))
    hub.cut("GET", "/model.safetensors", after_bytes=11_000_000)
    assert (pull("me/tiny") / "model.safetensors").read_bytes() == (resnet18.path / "model.safetensors").read_bytes()
    assert [r.status for r in hub.requests if (r.method, r.path[-18:]) == ("GET", "/model.safetensors")] == [200, 206]


@pytest.mark.parametrize("path", ["/api/models/", "/resolve/"])
def test_a_hub_that_fails_is_told_from_a_missing_repo(hub: HubServer, small: RunDir, path: str):
    result(push(small, "me/small"))
    hub.fail("GET", path, 503)
    with pytest.raises(UserError, match="answered 503 when asked for 'me/small'"):
        pull("me/small")
    assert pull("me/small")


def by_timm() -> Network:
    import timm

    return timm.create_model("hf-hub:me/tiny", pretrained=True).eval()


def by_torchvision() -> Network:
    weights = load_file(hf_hub_download("me/tiny", "model.safetensors"))
    model = torchvision.models.resnet18(num_classes=100)
    model.load_state_dict(weights)
    return model.eval()


def by_transformers() -> Network:
    from transformers import AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained("me/tiny").eval()
    assert model.config.id2label[53] == FINE[53]
    return lambda inputs: model(pixel_values=inputs).logits


@pytest.mark.slow
@pytest.mark.parametrize("load", [by_timm, by_torchvision, by_transformers])
def test_others_load_it_without_our_code(hub: HubServer, resnet18: RunDir, load: Callable[[], Network]):
    """Each from the Hub, with logits equal to the bit; importing the libraries takes 5 to 10 s."""
    result(push(resnet18, "me/tiny"))
    inputs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ours = load_checkpoint(resnet18.path, CPU)[0].to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        assert torch.equal(load()(inputs), ours(inputs))
