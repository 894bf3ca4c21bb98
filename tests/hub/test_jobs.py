"""Jobs of the Hub by the real client: prices, rights, what a Job is given, refusals, lost answers."""

import ast
import json
import threading
from collections.abc import Iterator

import pytest
from huggingface_hub import HfApi

from resnet_cifar.errors import UserError
from resnet_cifar.hub import jobs
from resnet_cifar.hub.job_start import command, start_job
from resnet_cifar.hub.jobs import check_renter, fetch, find_hardware, new_place
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs.rented import Rented
from resnet_cifar.training.tariff import tariff
from tests.builders import recipe, result
from tests.hub.contents import READ, WRITE, Token
from tests.hub.server import HubServer


@pytest.fixture
def paid(hub: HubServer) -> Iterator[HubServer]:
    """The Hub for an account with credit, whose Jobs wait until the end of the test."""
    hub.tokens[WRITE] = Token(credit=True)
    released = threading.Event()
    hub.cluster.program = lambda job: int(released.wait(60))
    yield hub
    released.set()


def place(hardware: str = "t4-small") -> Rented:
    return new_place("me", "my.run", result(find_hardware(HfApi(), hardware)), 90)


def start(rented: Rented) -> str:
    return result(start_job(HfApi(), "my.run", recipe().to_json(), rented))


def test_hardware_and_its_price_come_from_the_hub(hub: HubServer):
    t4 = result(find_hardware(HfApi(), "t4-small"))
    assert (t4.gpu, t4.gpus) == ("T4", 1) and t4.dollars_an_hour == pytest.approx(0.4)
    with pytest.raises(UserError, match=r"'t5'; the Hugging Face Hub rents out .*t4-small \(\$0.40 an hour\)"):
        result(find_hardware(HfApi(), "t5"))


def test_the_estimate_grows_with_the_work_and_shrinks_with_the_speed(hub: HubServer):
    t4, l4, four, cpu = (result(find_hardware(HfApi(), name)) for name in ("t4-small", "l4x1", "l4x4", "cpu-basic"))
    overnight, scratch = RECIPES["overnight"], RECIPES["scratch"]
    slow, fast, faster = (tariff(overnight, one) for one in (t4, l4, four))
    assert slow.seconds > fast.seconds > faster.seconds > 0
    assert tariff(scratch, l4).seconds > fast.seconds and tariff(scratch, l4).dollars > fast.dollars
    for one in (slow, fast, faster):
        assert one.minutes * 60 > 2 * one.seconds and one.minutes >= 20  # never the Hub's 30 minutes for an hour's work
        assert "not measured" in one.sentence
    assert tariff(overnight, t4, 45).minutes == 45
    with pytest.raises(UserError, match="--minutes"):
        tariff(overnight, cpu)
    assert "unknown" in tariff(overnight, cpu, 45).sentence
    with pytest.raises(UserError, match="--minutes is 0"):
        tariff(overnight, t4, 0)


def test_a_job_gets_the_code_and_a_bucket_and_no_token(paid: HubServer):
    rented = place()
    assert start(rented) == paid.cluster.jobs[0].id
    spec = paid.cluster.jobs[0].spec
    assert WRITE not in json.dumps(spec) and "secrets" not in spec
    assert spec["timeoutSeconds"] == 90 * 60 and spec["attempts"] == 2 and spec["flavor"] == "t4-small"
    assert spec["labels"] == {"name": "my-run", "resnet_cifar": rented.folder}
    code, bucket = spec["volumes"]
    repo = paid.repo("models", code["source"])
    assert repo.private and code["readOnly"] and code["revision"] == repo.refs["main"].id
    assert (bucket["type"], bucket["source"]) == ("bucket", "me/resnet_cifar-runs")
    assert (paid.cluster.bucket("me") / ".resnet_cifar-runs").read_text() == "private"
    files = paid.files("models", code["source"])
    assert json.loads(files["recipe.json"]) == json.loads(recipe().to_json())
    assert not [name for name in files if "/ui/" in name] and "resnet_cifar/training/session.py" in files
    assert WRITE.encode() not in b"".join(files.values())


def test_what_goes_there_can_train_without_the_packages_of_the_page(paid: HubServer):
    """What the program imports when it starts; what is imported later, in functions, is tested by a real Job."""
    start(place())
    files = paid.files("models", "me/resnet_cifar-jobs")
    heavy = {"gradio", "plotly", "huggingface_hub", "httpx2"}
    seen, left = set(), ["resnet_cifar/cli/main.py", "resnet_cifar/training/session.py", "resnet_cifar/training/job.py"]
    while left:
        name = left.pop()
        seen.add(name)
        for node in ast.parse(files[name]).body:
            if isinstance(node, ast.ImportFrom) and node.module.startswith("resnet_cifar"):
                module = f"{node.module.replace('.', '/')}.py"
                there = [module] if module in files else [f"{module[:-3]}/{alias.name}.py" for alias in node.names]
                assert all(one in files for one in there), there
                left += [one for one in there if one not in seen]
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                assert not heavy & {one.split(".")[0] for one in names}, name


def test_several_gpus_train_under_torchrun(paid: HubServer):
    one, four = command("mine", place()), command("mine", place("l4x4"))
    assert "torch.distributed.run" not in one and "app.py" in one
    assert four[four.index("--nproc-per-node") + 1] == "4" and "resnet_cifar" in four
    tail = [word for word in one if word.startswith("--")]
    assert (
        tail[-3:] == [word for word in four if word.startswith("--")][-3:] == ["--train-only", "--resume", "--kept-in"]
    )


def test_a_run_gets_a_folder_that_no_other_of_its_name_has(paid: HubServer):
    assert place().folder != place().folder


def test_a_space_has_a_repo_and_a_bucket_of_its_own(paid: HubServer, monkeypatch: pytest.MonkeyPatch):
    """Logins there may write only to what they created."""
    start(place())
    paid.tokens[WRITE] = Token(credit=True, by_login=True)
    with pytest.raises(UserError):  # as if it were the same place
        start(place())
    monkeypatch.setenv("SPACE_ID", f"lab/{'app' * 30}")
    start(place())
    assert [repo.by_login for repo in paid.repos.values()] == [False, True]
    names = [name for _, name in paid.repos] + [place().bucket]
    assert len(set(names)) == 3 and all(len(name) < 96 - 40 for name in names)


def test_a_lost_answer_starts_no_second_job(paid: HubServer):
    paid.cut("POST", "/api/jobs/me", in_answer=True)
    rented = place()
    assert start(rented) == paid.cluster.jobs[0].id
    assert start(rented) == paid.cluster.jobs[0].id  # nor does a start of what is at work
    assert len(paid.cluster.jobs) == 1


@pytest.mark.parametrize(
    "status,words",
    [
        (401, "log in again"),
        (402, "wants credit before me can have t4-small .*settings/billing, or train on a machine of your own"),
        (403, "may not start or see Jobs of me .*settings/tokens"),
        (429, "takes no more requests or Jobs"),
        (503, "answered 503 again and again"),
    ],
)
def test_a_refusal_names_the_way_out_and_starts_nothing(paid: HubServer, status: int, words: str):
    paid.fail("POST", "/api/jobs/me", status, times=9)
    with pytest.raises(UserError, match=words):
        start(place())
    assert not paid.cluster.jobs


def test_a_passing_fault_is_waited_for(paid: HubServer):
    paid.fail("POST", "/api/jobs/me", 503)
    paid.fail("POST", "/api/buckets/", 429)
    assert start(place()) and len(paid.cluster.jobs) == 1


def test_rights_are_checked_before_anything_is_made(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    who = result(check_renter(HfApi()))
    assert who.name == "me"
    fine = Token(role="fineGrained", scope=("me",), jobs=False)
    for token, account, words in (
        (READ, Token(role="read"), "may not start Jobs"),
        (WRITE, fine, "may not start Jobs"),
    ):
        hub.tokens[token] = account
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(UserError, match=words):
            result(check_renter(HfApi()))
    hub.tokens[WRITE] = Token(credit=True, jobs=False)  # of which whoami says nothing
    with pytest.raises(UserError, match="may not start or see Jobs"):
        start(place())
    with pytest.raises(UserError, match="nobody is logged in"):
        monkeypatch.delenv("HF_TOKEN")
        result(check_renter(HfApi()))
    assert not hub.repos and not hub.cluster.jobs


def test_files_come_from_the_bucket_and_the_token_stays_at_the_hub(paid: HubServer, tmp_path):
    rented = place()
    start(rented)
    folder = paid.cluster.bucket(rented.bucket) / rented.folder
    folder.mkdir()
    (folder / "a file").write_bytes(b"content")
    assert result(fetch(HfApi(), rented, "a file", tmp_path / "here"))
    assert (tmp_path / "here").read_bytes() == b"content"
    assert not result(fetch(HfApi(), rented, "another", tmp_path / "nowhere")) and not (tmp_path / "nowhere").exists()
    assert [request.token for request in paid.requests if request.path.startswith("/storage/")] == [None]


def test_a_job_that_has_ended_is_not_at_work(paid: HubServer):
    rented = place()
    start(rented)
    (job,) = paid.cluster.jobs
    assert jobs.find_at_work(HfApi(), rented) is not None
    job.cancel()
    assert jobs.find_at_work(HfApi(), rented) is None
