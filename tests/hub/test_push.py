"""Pushing a run, by the real client, to a local Hub."""

import json
import math
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, hf_hub_download

from resnet_cifar.cli import main as cli
from resnet_cifar.errors import UserError
from resnet_cifar.hub import push as pushing
from resnet_cifar.hub.catalog import load_classifier
from resnet_cifar.hub.pull import pull
from resnet_cifar.hub.push import account, check_rights, plan, push
from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.model.export import ONNX
from resnet_cifar.model.tensors import read_tensors
from resnet_cifar.runs.run_dir import RunDir
from tests.awkward import halves
from tests.builders import CPU, app, content, result
from tests.hub.contents import FINE as FINE_GRAINED
from tests.hub.contents import ORG, READ, WRITE
from tests.hub.server import HubServer

NAMES = {"README.md", "config.json", "curves.png", "eval.json", "metrics.jsonl", "model.safetensors", "recipe.json"}


def test_a_pushed_run_comes_back_bit_for_bit(hub: HubServer, run: RunDir):
    before = content(run)
    assert result(push(run, "me/tiny")) == f"{hub.url}/me/tiny"
    assert content(run) == before
    assert hub.repo("models", "me/tiny").private
    files = hub.files("models", "me/tiny")
    assert set(files) - {".gitattributes"} == {*NAMES, "unknown.safetensors"}  # the run was trained to its end
    assert hub.repo("models", "me/tiny").history()[0].message == "Upload tiny"

    folder = pull("me/tiny")
    assert (
        read_tensors(folder / "model.safetensors")[1]["sha256"]
        == read_tensors(run.path / "model.safetensors")[1]["sha256"]
    )
    here, there = (load_classifier(where, "cpu").predict([halves()])[0] for where in (str(run.path), "me/tiny"))
    assert here.probabilities == there.probabilities


def test_no_local_file_state_or_token_is_uploaded(hub: HubServer, run: RunDir):
    assert str(run.path.parent.parent.parent).encode() in run.recipe_file.read_bytes() + run.metrics_file.read_bytes()
    (run.path / "last.safetensors").write_bytes(b"state")
    (run.path / "train.log").write_text("log")
    result(push(run, "me/tiny"))
    files = hub.files("models", "me/tiny")
    assert set(files) - {".gitattributes"} == {*NAMES, "unknown.safetensors"}  # the run was trained to its end
    assert all(
        b"/tmp/" not in files[name] and WRITE.encode() not in files[name] for name in NAMES - {"model.safetensors"}
    )
    assert json.loads(files["recipe.json"])["init"] == "start.pth"


def sent(hub: HubServer, method: str, path: str) -> list[int | None]:
    """Status of the answer to each such request; None where the connection was cut before one."""
    return [request.status for request in hub.requests if request.method == method and path in request.path]


def test_a_repeated_push_sends_nothing_again(hub: HubServer, small: RunDir):
    result(push(small, "me/small", public=True))
    assert not hub.repo("models", "me/small").private
    hub.requests.clear()
    result(push(small, "me/small"))
    assert not hub.repo("models", "me/small").private  # a repo that exists keeps its visibility
    assert not sent(hub, "PUT", "") and not sent(hub, "POST", "/commit/")
    assert [commit.message for commit in hub.repo("models", "me/small").history()] == ["Upload small", "initial commit"]


def test_a_pull_request_leaves_main_alone(hub: HubServer, small: RunDir):
    hub.put("models", "me/small", {"README.md": b"---\nlicense: mit\n---\nby others"})
    before = hub.files("models", "me/small")
    link = result(push(small, "me/small", create_pr=True))
    assert link == f"{hub.url}/me/small/discussions/1"
    assert hub.files("models", "me/small") == before
    assert set(hub.files("models", "me/small", "refs/pr/1")) >= NAMES


@pytest.mark.slow
@pytest.mark.parametrize(
    "method,path", [("POST", "/repos/create"), ("POST", "/commit/"), ("PUT", "/lfs"), ("POST", "/preupload/")]
)
def test_a_request_that_fails_for_a_moment_is_retried(hub: HubServer, small: RunDir, method: str, path: str):
    """The client itself waits 1 s before it retries the last two."""
    hub.fail(method, path, 503)
    result(push(small, "me/small"))
    assert sent(hub, method, path) == [503, 200]
    assert set(hub.files("models", "me/small")) >= NAMES


@pytest.mark.slow
@pytest.mark.parametrize("in_answer", [False, True])
def test_a_cut_connection_is_retried_and_makes_one_commit(hub: HubServer, small: RunDir, in_answer: bool):
    """Also where the connection is cut after the repo, or the commit, has been made. The client waits 1 s."""
    hub.cut("POST", "/repos/create", in_answer=in_answer)
    hub.cut("POST", "/commit/", in_answer=in_answer)
    hub.cut("PUT", "/lfs/", after_bytes=100_000)
    result(push(small, "me/small"))
    assert set(hub.files("models", "me/small")) >= NAMES
    assert len(hub.repo("models", "me/small").history()) == 2


@pytest.mark.parametrize(
    "status,says", [(403, "no write access there"), (500, "answered 500"), (401, "no longer accepts this login")]
)
def test_a_request_that_keeps_failing_ends_in_words_and_leaves_the_run(
    hub: HubServer, small: RunDir, status: int, says: str
):
    before = content(small)
    hub.fail("POST", "/commit/", status, times=math.inf)
    with pytest.raises(UserError, match=says):
        result(push(small, "me/small"))
    assert content(small) == before
    hub.faults.clear()
    result(push(small, "me/small"))


def test_a_card_that_the_hub_refuses_ends_in_words(hub: HubServer, small: RunDir, monkeypatch):
    monkeypatch.setattr("tests.hub.answers.faults", lambda kind, fields: ["license is out of fashion"])
    with pytest.raises(UserError, match="refuses the card: .*out of fashion"):
        result(push(small, "me/small"))


def test_weights_that_the_hub_refuses_end_in_words(hub: HubServer, small: RunDir):
    hub.fail("PUT", "/lfs", 400, times=math.inf)
    with pytest.raises(UserError, match="could not be uploaded|answered 400"):
        result(push(small, "me/small"))


def test_a_hub_that_does_not_answer_is_given_up_on(hub: HubServer, small: RunDir, monkeypatch):
    monkeypatch.setattr(pushing, "_TIMEOUT", 0.2)
    hub.delay("GET", "/whoami", 5)
    with pytest.raises(UserError, match="did not answer within 0.2 s"):
        result(push(small, "me/small"))
    assert not hub.repos


def test_a_hub_that_is_down_ends_in_words_until_it_is_up(hub: HubServer, small: RunDir):
    result(push(small, "me/small"))
    pull("me/small")
    hub.stop()
    with pytest.raises(UserError, match="can't be reached"):
        result(push(small, "me/small"))
    assert load_classifier("me/small", "cpu").predict([halves()])  # from the cache
    with pytest.raises(UserError, match="is not in the cache"):
        pull("me/other")
    hub.start()
    result(push(small, "me/small"))


@pytest.mark.parametrize(
    "token,repo,says",
    [
        (READ, "me/tiny", "may only read"),
        ("hf_wrong", "me/tiny", "no longer accepts this login"),
        (WRITE, "you/tiny", "can't write to you; choose one of me"),
        (WRITE, "tiny", "must be USER/NAME"),
        (WRITE, "me/ti ny", "not a valid repo name"),
        (None, "me/tiny", "hf auth login"),
    ],
)
def test_a_missing_right_is_seen_before_anything_is_sent(
    hub: HubServer, small: RunDir, monkeypatch, token, repo: str, says: str
):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match=says):
        result(push(small, repo, api=HfApi(endpoint=hub.url, token=token)))
    assert not hub.repos
    assert not [request for request in hub.requests if request.method != "GET"]


def test_an_account_and_its_organisations_are_read_from_the_token(hub: HubServer):
    assert account(HfApi(endpoint=hub.url, token=WRITE)).may_write
    assert account(HfApi(endpoint=hub.url, token=FINE_GRAINED)).may_write
    org = account(HfApi(endpoint=hub.url, token=ORG))
    assert org.organisations == ("org",)
    assert check_rights(HfApi(endpoint=hub.url, token=ORG), "org/tiny") == org


def test_a_token_limited_to_some_repos_pushes_there_and_nowhere_else(hub: HubServer, small: RunDir):
    api = HfApi(endpoint=hub.url, token=ORG)
    assert result(push(small, "org/small", api=api)) == f"{hub.url}/org/small"
    api = HfApi(endpoint=hub.url, token=FINE_GRAINED)
    hub.put("models", "me/fine", {})
    result(push(small, "me/fine", api=api))
    with pytest.raises(UserError, match="no write access there"):
        result(push(small, "me/other", api=api))
    assert ("models", "me/other") not in hub.repos


def test_a_dry_run_sends_no_request(hub: HubServer, small: RunDir):
    planned = plan(small, "me/small")
    assert not hub.requests
    assert set(planned.files) == NAMES
    assert planned.files["model.safetensors"] == (small.path / "model.safetensors").stat().st_size
    assert planned.card.startswith("---\n") and "# small" in planned.card


def test_a_run_with_damaged_weights_is_not_pushed(hub: HubServer, small: RunDir):
    file = small.path / "model.safetensors"
    whole = file.read_bytes()
    for broken in (whole[:-100], whole[:-5] + b"\xff" + whole[-4:]):
        file.write_bytes(broken)
        with pytest.raises(UserError, match="truncated|damaged"):
            result(push(small, "me/small"))
    file.unlink()
    with pytest.raises(UserError, match="there is no file"):
        plan(small, "me/small")
    assert not hub.repos


@pytest.mark.slow
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


@pytest.mark.process
def test_the_terminal_pushes_and_classifies(hub: HubServer, small: RunDir, tmp_path: Path, capsys):
    """Starts a Python process: about 4 s."""
    where = [str(small.path), "--repo"]
    assert cli.main(["--push", *where, "me/small", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "model.safetensors" in shown and "# small" in shown and not hub.requests
    assert cli.main(["--push", *where, "you/small"]) == 2
    assert "can't write to you" in capsys.readouterr().err
    env = hub.environment(tmp_path / "home", HF_TOKEN=WRITE)
    done = app("--push", *where, "me/small", "--public", env=env)
    assert done.returncode == 0 and f"it is at {hub.url}/me/small" in done.stdout
    halves().save(tmp_path / "halves.png")
    assert cli.main(["--classify", str(tmp_path / "halves.png"), "--run", "me/small", "--json"]) == 0
    answers = capsys.readouterr().out
    assert json.loads(answers)[0]["label"] == Classifier.load(small.path, "cpu").predict([halves()])[0].label
    assert WRITE not in shown + done.stdout + done.stderr + answers


@pytest.mark.process
def test_training_with_push_to_checks_the_token_first(hub: HubServer, tmp_path: Path, monkeypatch, capsys):
    """Starts a Python process that trains: about 6 s."""
    flags = ["--train-only", "--recipe", "quick", "--arch", "tiny", "--data", "synthetic", "--train-images", "100"]
    flags += ["--val-images", "0", "--epochs", "1", "--device", "cpu", "--run", str(tmp_path / "new")]
    flags += ["--push-to", "me/new"]
    monkeypatch.setenv("HF_TOKEN", READ)
    assert cli.main(flags) == 2
    assert "may only read" in capsys.readouterr().err and not (tmp_path / "new").exists()
    done = app(*flags, env=hub.environment(tmp_path / "home", HF_TOKEN=WRITE))
    assert done.returncode == 0 and "it is at" in done.stdout
    assert set(hub.files("models", "me/new")) >= NAMES
