"""A run goes to a small Hub on this machine, which speaks to the real client."""

import json
import math
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, hf_hub_download

from resnet_cifar.errors import UserError
from resnet_cifar.hub.catalog import load_classifier
from resnet_cifar.hub.pull import pull
from resnet_cifar.hub.push import check_rights, plan, push, visitor
from resnet_cifar.model.checkpoint import load_checkpoint, read_tensors
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.model.export import ONNX
from resnet_cifar.runs.run_dir import RunDir
from tests.awkward import halves
from tests.builders import CPU, app, content, result
from tests.hub.contents import FINE as FINE_GRAINED
from tests.hub.contents import ORG, READ, WRITE
from tests.hub.server import HubServer

NAMES = {"README.md", "config.json", "curves.png", "eval.json", "metrics.jsonl", "model.safetensors", "recipe.json"}


def test_a_run_goes_there_and_comes_back_to_the_bit(hub: HubServer, run: RunDir):
    before = content(run)
    assert result(push(run, "me/tiny")) == f"{hub.url}/me/tiny"
    assert content(run) == before
    assert hub.repo("models", "me/tiny").private
    files = hub.files("models", "me/tiny")
    assert set(files) - {".gitattributes"} == NAMES
    assert hub.repo("models", "me/tiny").history()[0].message == "Upload tiny"

    folder = pull("me/tiny")
    assert (
        read_tensors(folder / "model.safetensors")[1]["sha256"]
        == read_tensors(run.path / "model.safetensors")[1]["sha256"]
    )
    here, there = (load_classifier(where, "cpu").predict([halves()])[0] for where in (str(run.path), "me/tiny"))
    assert here.probabilities == there.probabilities


def test_nothing_of_this_machine_goes_along(hub: HubServer, run: RunDir):
    assert str(run.path.parent.parent.parent).encode() in run.recipe_file.read_bytes() + run.metrics_file.read_bytes()
    (run.path / "last.safetensors").write_bytes(b"state")
    (run.path / "train.log").write_text("log")
    result(push(run, "me/tiny"))
    files = hub.files("models", "me/tiny")
    assert set(files) - {".gitattributes"} == NAMES
    assert all(
        b"/tmp/" not in files[name] and WRITE.encode() not in files[name] for name in NAMES - {"model.safetensors"}
    )
    assert json.loads(files["recipe.json"])["init"] == "start.pth"


def test_a_push_can_be_repeated_and_proposed(hub: HubServer, run: RunDir):
    result(push(run, "me/tiny", public=True))
    assert not hub.repo("models", "me/tiny").private
    result(push(run, "me/tiny"))
    assert not hub.repo("models", "me/tiny").private  # what is there stays as public as it is
    (run.path / "eval.json").unlink()
    link = result(push(run, "me/tiny", create_pr=True))
    assert link.startswith(f"{hub.url}/me/tiny") and len(hub.repo("models", "me/tiny").prs) == 1


@pytest.mark.parametrize(
    "method,path", [("POST", "/repos/create"), ("POST", "/commit/"), ("PUT", "/lfs"), ("POST", "/preupload/")]
)
def test_what_fails_for_a_moment_is_done_again(hub: HubServer, run: RunDir, method: str, path: str):
    hub.fail(method, path, 503)
    result(push(run, "me/tiny"))
    assert set(hub.files("models", "me/tiny")) >= NAMES


def test_a_connection_that_is_cut_is_made_again(hub: HubServer, run: RunDir):
    hub.cut("POST", "/repos/create", in_answer=True)
    hub.cut("POST", "/commit/")
    result(push(run, "me/tiny"))
    assert set(hub.files("models", "me/tiny")) >= NAMES


@pytest.mark.parametrize(
    "status,says", [(403, "may not do that"), (500, "answered 500"), (401, "does not know this login")]
)
def test_what_fails_for_good_gets_its_sentence_and_leaves_the_run(hub: HubServer, run: RunDir, status: int, says: str):
    before = content(run)
    hub.fail("POST", "/commit/", status, times=math.inf)
    with pytest.raises(UserError, match=says):
        result(push(run, "me/tiny"))
    assert content(run) == before
    hub.faults.clear()
    result(push(run, "me/tiny"))  # and later it works


def test_a_card_that_the_hub_does_not_take_gets_a_sentence(hub: HubServer, run: RunDir, monkeypatch):
    monkeypatch.setattr("tests.hub.answers.faults", lambda kind, told: ["license is out of fashion"])
    with pytest.raises(UserError, match="refuses the card: .*out of fashion"):
        result(push(run, "me/tiny"))


def test_weights_that_the_hub_never_takes_get_a_sentence(hub: HubServer, run: RunDir):
    """The client tries them again itself, and waits longer each time: about 1 s until it is cut off here."""
    hub.fail("PUT", "/lfs", 400, times=math.inf)
    with pytest.raises(UserError, match="could not be uploaded|answered 400"):
        result(push(run, "me/tiny"))


def test_a_hub_that_is_not_there_gets_its_sentence(hub: HubServer, run: RunDir):
    result(push(run, "me/tiny"))
    pull("me/tiny")
    hub.stop()
    with pytest.raises(UserError, match="can't be reached"):
        result(push(run, "me/tiny"))
    assert load_classifier("me/tiny", "cpu").predict([halves()])  # from the cache
    with pytest.raises(UserError, match="is not in the cache"):
        pull("me/other")


@pytest.mark.parametrize(
    "token,repo,says",
    [
        (READ, "me/tiny", "may only read"),
        ("hf_wrong", "me/tiny", "does not know this login"),
        (WRITE, "you/tiny", "can't write to you; choose one of me"),
        (WRITE, "tiny", "must be USER/NAME"),
        (WRITE, "me/ti ny", "no name for a repo"),
        (None, "me/tiny", "hf auth login"),
    ],
)
def test_who_may_not_is_told_before_anything_is_sent(
    hub: HubServer, run: RunDir, monkeypatch, token, repo: str, says: str
):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match=says):
        result(push(run, repo, api=HfApi(endpoint=hub.url, token=token)))
    assert not hub.repos
    assert not [request for request in hub.requests if request.method != "GET"]


def test_who_is_logged_in_is_told(hub: HubServer):
    assert visitor(HfApi(endpoint=hub.url, token=WRITE)).may_write
    assert visitor(HfApi(endpoint=hub.url, token=FINE_GRAINED)).may_write
    org = visitor(HfApi(endpoint=hub.url, token=ORG))
    assert org.organisations == ("org",)
    assert check_rights(HfApi(endpoint=hub.url, token=ORG), "org/tiny") == org


def test_a_dry_run_asks_nobody(hub: HubServer, run: RunDir):
    planned = plan(run, "me/tiny")
    assert not hub.requests
    assert set(planned.files) == NAMES
    assert planned.files["model.safetensors"] == (run.path / "model.safetensors").stat().st_size
    assert planned.card.startswith("---\n") and "# tiny" in planned.card


def test_a_run_without_good_weights_is_not_pushed(hub: HubServer, run: RunDir):
    file = run.path / "model.safetensors"
    whole = file.read_bytes()
    for broken in (whole[:-100], whole[:-5] + b"\xff" + whole[-4:]):
        file.write_bytes(broken)
        with pytest.raises(UserError, match="truncated|damaged"):
            result(push(run, "me/tiny"))
    file.unlink()
    with pytest.raises(UserError, match="there is no file"):
        plan(run, "me/tiny")
    assert not hub.repos


def test_an_onnx_copy_is_uploaded_on_request(hub: HubServer, small: RunDir):
    """Exports twice: about 10 s."""
    onnxruntime = pytest.importorskip("onnxruntime")
    (small.path / ONNX).write_bytes(b"exported earlier")
    assert ONNX not in plan(small, "me/small").files
    before = content(small)
    assert ONNX in plan(small, "me/small", onnx=True).files
    result(push(small, "me/small", onnx=True))
    assert content(small) == before
    session = onnxruntime.InferenceSession(hf_hub_download("me/small", ONNX))
    inputs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    (logits,) = session.run(["logits"], {"images": inputs.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(logits), load_checkpoint(small.path, CPU)[0](inputs), atol=1e-4)


def test_the_terminal_pushes_shows_and_classifies(hub: HubServer, run: RunDir, tmp_path: Path):
    """Starts four Python processes: about 15 s."""
    env = hub.environment(tmp_path / "home", HF_TOKEN=WRITE)
    dry = app("--push", run.path, "--repo", "me/tiny", "--dry-run", env=env)
    assert dry.returncode == 0 and "model.safetensors" in dry.stdout and "# tiny" in dry.stdout and not hub.requests
    done = app("--push", run.path, "--repo", "me/tiny", "--public", env=env)
    assert done.returncode == 0 and f"it is at {hub.url}/me/tiny" in done.stdout
    halves().save(tmp_path / "halves.png")
    told = app("--classify", tmp_path / "halves.png", "--run", "me/tiny", "--json", env=env)
    assert json.loads(told.stdout)[0]["label"] == Classifier.load(run.path, "cpu").predict([halves()])[0].label
    assert WRITE not in dry.stdout + done.stdout + told.stdout
    refused = app("--push", run.path, "--repo", "you/tiny", env=env)
    assert refused.returncode == 2 and "can't write to you" in refused.stderr


def test_a_run_that_is_to_be_pushed_checks_that_first(hub: HubServer, tmp_path: Path):
    """Starts two Python processes, one of which trains: about 10 s."""
    flags: list[object] = [
        "--train-only",
        "--recipe",
        "quick",
        "--data",
        "synthetic",
        "--train-images",
        "100",
        "--val-images",
        "0",
    ]
    flags += ["--epochs", "1", "--device", "cpu", "--run", tmp_path / "small", "--push-to", "me/small"]
    refused = app(*flags, env=hub.environment(tmp_path / "home", HF_TOKEN=READ))
    assert refused.returncode == 2 and "may only read" in refused.stderr and not (tmp_path / "small").exists()
    done = app(*flags, env=hub.environment(tmp_path / "home", HF_TOKEN=WRITE))
    assert done.returncode == 0 and "it is at" in done.stdout
    assert set(hub.files("models", "me/small")) >= NAMES
