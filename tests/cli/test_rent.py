"""Training on rented hardware from the terminal, on a local Hub whose Jobs are processes of this machine."""

import dataclasses
import os
import pty
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resnet_cifar.events import Event, Progress, RunCompleted, RunResumed, RunStarted, RunStopped, StepLogged
from resnet_cifar.hub import push as pushing
from resnet_cifar.runs.relay import Sender
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.launcher import Launcher, log_tail
from resnet_cifar.training.session import train
from tests.builders import CPU, ROOT, app, checkpoint, end_watchers, recipe, stage, told, wait
from tests.cli.conftest import SMALL
from tests.hub.cluster import Job
from tests.hub.contents import READ, Token
from tests.hub.server import HubServer

LOGIN = f"hf_{secrets.token_hex(12)}"
"""A token that no other process of this machine has."""
Main = Callable[..., tuple[int, str]]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A local Hub, and a login with credit there, in a file as `hf auth login` leaves it."""
    with HubServer() as hub:
        hub.patch(monkeypatch, tmp_path / "home")
        monkeypatch.setattr(pushing, "_RETRY_DELAYS", (0.05,))
        hub.tokens[LOGIN] = Token(credit=True)
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "token").write_text(LOGIN)
        yield hub
    end_watchers(tmp_path / "runs")


def told_by(run: RunDir) -> list[Event]:
    """What a run reported, but for times, speeds and how often it was resumed."""
    timeless = {"seconds": None, "images_per_second": None, "memory": None}
    said: list[Event] = []
    for event, _ in run.history():
        if not isinstance(event, Progress | RunResumed):
            names = {field.name for field in dataclasses.fields(event)}
            said.append(dataclasses.replace(event, **{name: timeless[name] for name in names & timeless.keys()}))
    return said


def with_token(token: str) -> list[str]:
    """Processes of this machine that show a token, in their arguments or their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                if token.encode() in (folder / name).read_bytes():
                    found.append(f"{folder.name} {name}")
            except OSError:
                continue
    return found


def expire_in_second_stage(hub: HubServer) -> list[str]:
    """End a Job's time once it trains its second stage; return the processes that show the token."""

    def trains() -> bool:
        return any('"StepLogged"' in text and '"stage": 1' in text for job in hub.cluster.jobs for _, text in job.lines)

    wait(trains)
    hub.cluster.jobs[0].expire()
    return with_token(LOGIN)


@pytest.mark.process
def test_a_run_that_a_job_trains_equals_one_at_home(hub: HubServer, tmp_path: Path):
    """The terminal, the process in the background, and a Job whose time is over, tried again: 4 processes, 16 s."""
    wanted = recipe(stage(name="first"), stage(name="second", epochs=30))
    (tmp_path / "recipe.json").write_text(wanted.to_json())
    options = ("--recipe", tmp_path / "recipe.json", "--run", tmp_path / "runs" / "mine")
    environment = hub.environment(tmp_path / "home")
    with ThreadPoolExecutor(1) as pool:  # the Job may be quicker than the command that started it
        exposed = pool.submit(expire_in_second_stage, hub)
        done = app("--train-only", *options, "--on", "t4-small", "--yes", "--detach", env=environment)
        assert not exposed.result()
    assert done.returncode == 0, done.stderr
    assert "for about $0.01 ($0.40 an hour)" in done.stdout and "goes on in the background" in done.stdout
    run, (job,) = RunDir(tmp_path / "runs" / "mine"), hub.cluster.jobs
    wait(lambda: run.status() != "running")
    assert run.status() == "completed", log_tail(run)
    assert job.attempt == 2 and len(hub.cluster.jobs) == 1

    home = RunDir.create(tmp_path / "home-run", wanted)
    list(train(home, device=CPU, data_dir=None))
    assert told_by(run) == told_by(home)
    assert (run.path / "eval.json").read_bytes() == (home.path / "eval.json").read_bytes()

    seen = repr(job.spec) + repr(job.lines) + done.stdout + done.stderr
    for folder in (run.path, *hub.cluster.folder.rglob("*")):
        seen += "".join(file.read_text(errors="replace") for file in folder.glob("*") if file.is_file())
    assert "RunCompleted" in seen and LOGIN not in seen


@pytest.mark.process
def test_several_gpus_of_a_job_train_one_run_together(hub: HubServer, main: Main, tmp_path: Path):
    """A Job with torchrun and two processes, and the process that follows it: about 15 s."""
    run = RunDir(tmp_path / "mine")
    assert main("--train-only", *SMALL, "--on", "a10g-largex2", "--yes", "--run", run.path) == (0, "")
    (job,) = hub.cluster.jobs
    assert "torch.distributed.run" in job.spec["command"] and job.spec["flavor"] == "a10g-largex2"
    told = [event for event, _ in run.history() if not isinstance(event, Progress | StepLogged)]
    assert [event.processes for event in told if isinstance(event, RunStarted)] == [2]
    kinds = [type(event).__name__ for event in told]
    assert len(kinds) == len(set(kinds)), "two processes wrote the record"
    assert run.status() == "completed" and (run.path / "model.safetensors").exists()


class Working:
    """A Job that says for each epoch that it is over, until it is cancelled."""

    def __init__(self, hub: HubServer, folder: Path, after_two: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        self.after_two = after_two
        hub.cluster.program = self

    def __call__(self, job: Job) -> int:
        record = told(self.folder / job.id, recipe(stage(epochs=2)))
        run = RunDir.create(self.folder / f"{job.id}-now", record.recipe)
        sender = Sender(run)
        for number, (event, _) in enumerate(record.run.history()):
            run.append(event)
            for line in sender.lines():
                job.say(line)
            if number == 2:
                self.after_two()
        while not job.ended:
            time.sleep(0.02)
        return 143


@pytest.mark.process
def test_ctrl_c_asks_and_the_job_goes_on_until_it_is_stopped(hub: HubServer, tmp_path: Path):
    """Starts the terminal and the process in the background: about 8 s."""
    Working(hub, tmp_path / "there")
    parent, child = pty.openpty()
    run = RunDir(tmp_path / "runs" / "mine")
    command = [sys.executable, str(ROOT / "app.py"), "--train-only", *SMALL, "--on", "t4-small", "--run", str(run.path)]
    terminal = subprocess.Popen(
        command, stdout=child, stderr=child, stdin=child, cwd=ROOT, env=hub.environment(tmp_path / "home")
    )
    os.close(child)
    shown = ""

    def see(words: str) -> None:
        nonlocal shown
        while words not in shown:
            shown += os.read(parent, 4096).decode()

    see("Start? [y/N]")
    assert "$0.40 an hour" in shown and not hub.repos and not hub.cluster.jobs  # nothing before the answer
    os.write(parent, b"y\n")
    see("stage 1/1")
    terminal.send_signal(signal.SIGINT)
    see("Shall the Job go on")
    os.write(parent, b"y\n")
    see("goes on in the background")
    assert terminal.wait(30) == 0
    (job,) = hub.cluster.jobs
    assert run.status() == "running" and job.stage == "RUNNING"
    launcher = Launcher(run.path.parent, CPU)
    held = run.holder()
    assert held is not None and held.pid not in (None, terminal.pid)
    launcher.stop(run)
    wait(lambda: run.status() != "running")
    assert run.last_event() == RunStopped(by="SIGTERM") and job.stage == "CANCELED"
    assert not with_token(LOGIN)
    os.close(parent)


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """A terminal in which a person answers; returns the questions."""
    asked: list[str] = []
    left = list(answers)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True, "read": lambda self: ""})())
    monkeypatch.setattr("builtins.input", lambda question: (asked.append(question), left.pop(0))[1])
    return asked


def test_ctrl_c_stops_the_job_if_nobody_wants_it_to_go_on(hub: HubServer, main: Main, tmp_path: Path, monkeypatch):
    run = RunDir(tmp_path / "mine")

    def interrupt() -> None:
        wait(run.metrics_file.exists)  # earlier, there is nothing to leave
        os.kill(os.getpid(), signal.SIGINT)

    Working(hub, tmp_path / "there", interrupt)
    asked = answering(monkeypatch, "y", "n")
    code, err = main("--train-only", *SMALL, "--on", "t4-small", "--minutes", 7, "--run", run.path)
    assert code == 130 and not err and asked[1].startswith("Shall the Job go on")
    assert run.last_event() == RunStopped(by="SIGINT") and hub.cluster.jobs[0].stage == "CANCELED"
    assert hub.cluster.jobs[0].spec["timeoutSeconds"] == 7 * 60


def test_nothing_is_made_without_an_answer_or_after_no(hub: HubServer, main: Main, tmp_path: Path, monkeypatch):
    options = ("--train-only", *SMALL, "--on", "t4-small", "--run", tmp_path / "mine")
    assert main(*options) == (2, "error: the price needs an answer: add --yes.\n")
    answering(monkeypatch, "")
    assert main(*options) == (0, "")
    assert not hub.repos and not hub.cluster.jobs and not (tmp_path / "mine").exists()


def test_what_cannot_be_rented_is_refused_in_a_sentence(hub: HubServer, main: Main, tmp_path: Path, monkeypatch):
    model = checkpoint(tmp_path / "model")
    run = ("--train-only", "--recipe", "quick", "--arch", "tiny", "--run", tmp_path / "mine", "--yes")
    for options, words in (
        ((*run[:-1], "--minutes", 5), "--minutes is for runs on rented hardware"),
        ((*run[:-1], "--detach"), "--detach is for runs on rented hardware"),
        ((*run, "--on", "t4-small", "--init", model), "a Job cannot see the initial weights"),
        ((*run, "--on", "t4-small", "--teacher", model), "a Job cannot see the teacher"),
        ((*run, "--on", "t4-small", "--device", "cpu"), "--device is for this machine"),
        ((*run, "--on", "t4-small", "--data-dir", tmp_path), "--data-dir is for this machine"),
        ((*run, "--on", "t4-small", "--data-source", "hub"), "--data-source is for this machine"),
        ((*run, "--on", "t4-small", "--detach", "--push-to", "me/mine"), "--push-to needs this terminal"),
        ((*run, "--on", "gpu"), "--on is 'gpu'; the Hugging Face Hub rents out"),
        ((*run, "--on", "cpu-basic"), "with --minutes N after how many minutes"),
        ((*run, "--on", "t4-small", "--minutes", 0), "--minutes is 0"),
        ((*run, "--on", "l4x4", "--batch-size", 4), "for 4 processes"),
    ):
        code, err = main(*options)
        assert code == 2 and words in err and err.count("\n") == 1, err
    (tmp_path / "home" / "token").write_text(READ)
    code, err = main(*run, "--on", "t4-small")
    assert code == 2 and "the token of me may not start Jobs" in err
    assert not hub.repos and not hub.cluster.jobs and not (tmp_path / "mine").exists()


def test_without_credit_no_run_is_left(hub: HubServer, main: Main, tmp_path: Path):
    hub.tokens[LOGIN] = Token()
    code, err = main("--train-only", *SMALL, "--on", "t4-small", "--yes", "--run", tmp_path / "mine")
    assert code == 2 and "wants credit before me can have t4-small" in err
    assert not (tmp_path / "mine").exists() and not hub.cluster.jobs


def test_a_completed_run_is_not_resumed(hub: HubServer, main: Main, tmp_path: Path):
    run = RunDir.create(tmp_path / "mine", recipe())
    (run.path / "job.json").write_text("{}")
    code, err = main("--train-only", "--resume", run.path)
    assert code == 2 and "the field" in err and "job.json can't be used" in err
    run.append(RunCompleted(test=told(tmp_path / "other", recipe()).events.epochs[0].val, coarse_top1=None))
    code, err = main("--train-only", "--resume", run.path)
    assert code == 2 and "is completed" in err
