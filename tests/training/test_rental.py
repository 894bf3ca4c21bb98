"""A run on rented hardware, followed from here. Its Jobs repeat what one real run printed and saved."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from resnet_cifar import events
from resnet_cifar.errors import UserError
from resnet_cifar.events import RunCompleted, RunFailed, RunStopped
from resnet_cifar.hub.jobs import find_hardware
from resnet_cifar.runs.rented import check_deletable
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training import connection, rental
from resnet_cifar.training.job import restore
from resnet_cifar.training.rental import begin, follow, prepare
from resnet_cifar.training.tariff import tariff
from tests.builders import result
from tests.hub.cluster import Job
from tests.hub.contents import WRITE, Token
from tests.hub.server import HubServer
from tests.training.player import RECIPE, Player, Printed, expected, kinds, printed, whole


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Printed, Printed, RunDir]:
    """A run that is killed in its second stage and goes on in a second attempt; and what the bucket has at its end."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "recipe.json").write_text(RECIPE.to_json())
    first = printed("first", folder, stop_at=13)
    assert '"StepLogged"' in first.lines[-1] and '"stage": 1' in first.lines[-1]
    second = printed("second", folder)
    assert '"RunResumed"' in second.lines[0] and '"stage": 1' in second.lines[0]
    return first, second, RunDir(folder / "kept")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A local Hub, for an account with credit, and no pauses."""
    with HubServer.logged_in(monkeypatch, tmp_path / "home") as hub:
        monkeypatch.setattr(connection, "_PAUSES", (0.05,))
        monkeypatch.setattr(rental, "_FILL_EVERY", 0.0)
        monkeypatch.setattr("huggingface_hub.hf_api.time.sleep", lambda seconds: time_sleep(min(seconds, 0.05)))
        hub.tokens[WRITE] = Token(credit=True)
        yield hub


time_sleep = time.sleep


@pytest.fixture
def run(tmp_path: Path, hub: HubServer) -> RunDir:
    run = RunDir.create(tmp_path / "runs" / "mine", RECIPE)
    prepare(run, "me", tariff(RECIPE, result(find_hardware(HfApi(), "t4-small"))))
    return run


def test_a_run_that_goes_on_in_a_second_attempt_comes_home_whole(hub: HubServer, run: RunDir, attempts):
    Player(hub, run, *attempts[:2])
    said = list(follow(run, HfApi()))
    assert kinds(said) == expected(*attempts[:2])
    whole(run, attempts)
    (job,) = hub.cluster.jobs
    assert (job.attempt, job.stage) == (2, "COMPLETED")
    assert WRITE not in "".join(file.read_text(errors="replace") for file in run.path.iterdir())
    with pytest.raises(UserError, match="is completed"):
        next(follow(run, HfApi()))


@pytest.mark.parametrize("lost", [{2, 3}, {0}, {5, 9, 10}, {13}])
def test_what_the_log_loses_comes_from_the_bucket(hub: HubServer, run: RunDir, attempts, lost: set[int]):
    player = Player(hub, run, *attempts[:2])
    player.lost = lost
    list(follow(run, HfApi()))
    whole(run, attempts)


def test_a_log_that_breaks_off_and_begins_anew_tells_nothing_twice(hub: HubServer, run: RunDir, attempts):
    for size in (300, 900, 1500, 2300):
        hub.cut("GET", "/logs", after_bytes=size, in_answer=True)
    hub.fail("GET", "/logs", 503, times=2)
    Player(hub, run, *attempts[:2])
    said, there = kinds(list(follow(run, HfApi()))), iter(expected(*attempts[:2]))
    assert all(kind in there for kind in said)  # in that order; repeated work may have been overtaken by the bucket
    whole(run, attempts)


def test_the_hub_may_be_away_for_a_while(hub: HubServer, run: RunDir, attempts):
    player = Player(hub, run, *attempts[:2])

    def away(job: Job, number: int) -> None:
        if number == 4:
            hub.stop()
            time_sleep(0.3)
            hub.start()

    player.before = away
    list(follow(run, HfApi()))
    whole(run, attempts)


def test_another_process_takes_over_from_one_that_died(hub: HubServer, run: RunDir, attempts):
    player = Player(hub, run, *attempts[:2])

    def logs() -> int:
        return sum(request.path.endswith("/logs") for request in hub.requests)

    def wait_for_the_second(job: Job, number: int) -> None:
        while number > 3 and logs() < 2:
            time_sleep(0.02)

    player.before = wait_for_the_second
    watching = follow(run, HfApi())
    before = [next(watching) for _ in range(3)]
    rented = (run.path / "job.json").read_text()
    watching.close()
    with pytest.raises(UserError, match="may still be at work"):
        check_deletable(run)
    (run.path / "job.json").write_text(rented)  # it died before it noted how far it came
    assert kinds(before + list(follow(run, HfApi()))) == expected(*attempts[:2])
    whole(run, attempts)
    assert len(hub.cluster.jobs) == 1


def test_a_run_that_ended_while_nobody_looked_is_fetched(hub: HubServer, run: RunDir, attempts):
    Player(hub, run, *attempts[:2])
    result(begin(run, HfApi()))
    while not hub.cluster.jobs[0].ended:
        time_sleep(0.02)
    assert isinstance(list(follow(run, HfApi()))[-1], RunCompleted)
    whole(run, attempts)
    assert len(hub.cluster.jobs) == 1


@pytest.mark.parametrize("by", ["stop file", "SIGTERM"])
def test_a_stop_cancels_the_job_and_resuming_starts_the_next_from_the_save(
    hub: HubServer, run: RunDir, attempts, by: str
):
    first, second, _ = attempts
    player = Player(hub, run, first)

    def stop(job: Job, number: int) -> None:
        if number == 11:
            run.stop_file.touch() if by == "stop file" else os.kill(os.getpid(), signal.SIGTERM)
            while job.stage == "RUNNING":
                time_sleep(0.02)

    player.before = stop
    said = list(follow(run, HfApi()))
    assert said[-1] == RunStopped(by=by) and run.status() == "stopped" and not run.stop_file.exists()
    assert hub.cluster.jobs[0].stage == "CANCELED"
    check_deletable(run)
    Player(hub, run, second)
    said = list(follow(run, HfApi()))
    assert kinds(said) == expected(second)
    whole(run, attempts)
    assert len(hub.cluster.jobs) == 2 and len({job.spec["labels"]["resnet_cifar"] for job in hub.cluster.jobs}) == 1


def test_ctrl_c_may_leave_the_job_at_work(hub: HubServer, run: RunDir, attempts):
    player = Player(hub, run, *attempts[:2])
    asked: list[int] = []

    def interrupt(job: Job, number: int) -> None:
        if number == 3 and job.attempt == 1:
            os.kill(os.getpid(), signal.SIGINT)
            while not asked:
                time_sleep(0.02)

    player.before = interrupt
    said = list(follow(run, HfApi(), leave=lambda: not asked.append(1)))
    assert not isinstance(said[-1] if said else None, RunCompleted | RunStopped | RunFailed)
    assert hub.cluster.jobs[0].stage != "CANCELED" and run.holder() is None
    list(follow(run, HfApi()))
    whole(run, attempts)


def test_a_job_that_errs_is_a_failed_run_that_says_why(hub: HubServer, run: RunDir):
    def err(job: Job) -> int:
        job.say("Traceback (most recent call last):")
        job.say("ImportError: libcuda.so.1: cannot open shared object file")
        return 1

    hub.cluster.program = err
    (last,) = follow(run, HfApi())
    assert isinstance(last, RunFailed) and run.last_event() == last and run.status() == "failed"
    for words in ("Job failed with exit code: 1", "libcuda.so.1", "resuming continues from the last save"):
        assert words in last.reason
    assert hub.cluster.jobs[0].attempt == 2
    check_deletable(run)  # its Job has ended


def test_a_job_that_cannot_be_noted_is_cancelled(hub: HubServer, run: RunDir, attempts, monkeypatch):
    Player(hub, run, *attempts[:2]).before = lambda job, number: time_sleep(0.05)
    monkeypatch.setattr(rental, "write_rented", refuse)
    with pytest.raises(UserError, match="no room"):
        result(begin(run, HfApi()))
    assert hub.cluster.jobs[0].stage == "CANCELED"


def refuse(*_: object) -> None:
    raise UserError("no room")


def test_a_job_whose_log_ends_with_each_attempt_is_followed_to_its_last(
    hub: HubServer, run: RunDir, attempts, monkeypatch: pytest.MonkeyPatch
):
    """If the Hub calls a failed attempt an error until the next one begins."""
    first, second, _ = attempts
    player = Player(hub, run, first, second)

    def pause(job: Job, number: int) -> None:
        if (job.attempt, number) == (2, 0):
            job.stage = "ERROR"
            while not any(request.path == f"/api/jobs/me/{job.id}" and request.status for request in hub.requests):
                time_sleep(0.01)
            job.stage = "RUNNING"

    player.before = pause
    monkeypatch.setattr(connection, "_PAUSES", (2.0,))
    list(follow(run, HfApi()))
    whole(run, attempts)


def test_a_job_that_is_cancelled_at_the_hub_is_a_stopped_run(hub: HubServer, run: RunDir, attempts):
    player = Player(hub, run, attempts[0])
    player.before = lambda job, number: job.cancel() if number == 5 else None
    assert list(follow(run, HfApi()))[-1] == RunStopped(by="somebody at the Hugging Face Hub")


def test_weights_that_came_down_damaged_complete_nothing(hub: HubServer, run: RunDir, attempts):
    player = Player(hub, run, *attempts[:2])
    result(begin(run, HfApi()))
    while not hub.cluster.jobs[0].ended:
        time_sleep(0.02)
    file = player.folder / "model.safetensors"
    intact = file.read_bytes()
    file.write_bytes(intact[:-100])
    said = list(follow(run, HfApi()))
    assert isinstance(said[-1], RunFailed) and "model.safetensors" in said[-1].reason
    assert not any(isinstance(event, RunCompleted) for event, _ in run.history())
    file.write_bytes(intact)
    list(follow(run, HfApi()))
    whole(run, attempts)


def test_a_login_that_ends_fails_the_run_and_not_the_job(hub: HubServer, run: RunDir, attempts):
    player = Player(hub, run, *attempts[:2])
    login = hub.tokens[WRITE]

    def end(job: Job, number: int) -> None:
        if (job.attempt, number) == (1, 4):
            hub.tokens.pop(WRITE, None)

    player.before = end
    there = sum(len(line) for line in attempts[0].lines[:4])
    hub.cut("GET", "/logs", after_bytes=there + 500, in_answer=True)
    last = list(follow(run, HfApi()))[-1]
    assert isinstance(last, RunFailed) and "log in again" in last.reason
    assert last.reason.endswith(f"The Job may go on, at your cost: {hub.url}/jobs/me/{hub.cluster.jobs[0].id}")
    with pytest.raises(UserError, match="may still be at work"):
        check_deletable(run)
    hub.tokens[WRITE] = login
    assert hub.cluster.jobs[0].stage != "CANCELED"
    list(follow(run, HfApi()))
    whole(run, attempts)
    check_deletable(run)


def test_two_processes_never_follow_one_run(hub: HubServer, run: RunDir, attempts):
    Player(hub, run, *attempts[:2])
    watching = follow(run, HfApi())
    next(watching)
    with pytest.raises(UserError, match="by another process"):
        next(follow(run, HfApi()))
    watching.close()


def test_a_job_whose_run_was_never_saved_begins_anew(tmp_path: Path):
    (tmp_path / "recipe.json").write_text(RECIPE.to_json())
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "metrics.jsonl").write_text(events.to_json(events.RunStopped(by="SIGTERM"), 1.0) + "\n")
    run = restore("mine", kept, tmp_path / "recipe.json")
    assert run.recipe() == RECIPE and not run.metrics_file.exists()
