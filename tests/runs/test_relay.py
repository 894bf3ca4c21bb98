"""Events through the log of another machine: whatever becomes of its lines, the record has no gap and no double."""

import random
from pathlib import Path

import pytest

from resnet_cifar import events
from resnet_cifar.events import Event, RunCompleted, RunResumed, RunStarted, StepLogged
from resnet_cifar.runs.relay import Line, Receiver, Sender
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import recipe


def step(number: int) -> StepLogged:
    return StepLogged(stage=0, epoch=number // 7, step=number % 7, loss=1 / (number + 1), lr=0.1, images=10)


BEGUN = {"device": "cpu", "precision": "fp32", "data_dir": None}
STARTED, RESUMED = RunStarted(recipe="tiny", **BEGUN), RunResumed(stage=0, epoch=1, step=2, **BEGUN)


class Elsewhere:
    """A run that is killed and resumed on another machine: its log, its saves, and all that its record ever was."""

    def __init__(self, folder: Path) -> None:
        self.run = RunDir.create(folder, recipe())
        self.log: list[str] = []
        self.states = [b""]
        self.kept = b""
        self.saves: list[bytes] = []
        """For each line of the log, the record in the bucket when it was written."""
        self.sender = Sender(self.run)
        self._work([STARTED, *map(step, range(9))], save_after=5)
        self.run.cut(len(self.kept))
        self.sender = Sender(self.run)
        self._work([RESUMED, *map(step, range(5, 14))], save_after=4)

    def _work(self, work: list[Event], save_after: int) -> None:
        for number, event in enumerate(work):
            self.run.append(event)
            self.log += self.sender.lines()
            self.states.append(self.content)
            if number == save_after:
                self.kept = self.content
            self.saves.append(self.kept)

    @property
    def content(self) -> bytes:
        return self.run.metrics_file.read_bytes()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("elsewhere") / "run")


def content(receiver: Receiver, run: RunDir) -> bytes:
    return run.metrics_file.read_bytes() if run.metrics_file.exists() else b""


def parsed(text: str) -> Line:
    line = Line.parse(text)
    assert line is not None
    return line


def test_a_whole_log_gives_the_same_record_and_each_event_once(elsewhere: Elsewhere, tmp_path: Path):
    run = RunDir.create(tmp_path / "run", recipe())
    receiver, said = Receiver(run), []
    for text in elsewhere.log:
        said += receiver.take(parsed(text))
        assert content(receiver, run) in elsewhere.states
    assert content(receiver, run) == elsewhere.content
    assert said == [STARTED, *map(step, range(9)), RESUMED, *map(step, range(5, 14))]
    assert not any(receiver.take(parsed(text)) for text in elsewhere.log)  # all of it again
    later = Receiver(run)  # of a process that does not know how far the last one came
    assert not any(later.take(parsed(text)) for text in elsewhere.log[-9:])
    assert content(later, run) == elsewhere.content


@pytest.mark.parametrize("seed", range(40))
def test_lost_and_repeated_lines_leave_no_gap_and_no_double(elsewhere: Elsewhere, tmp_path: Path, seed: int):
    """At any time the record is one that the run had; at the end it is the run's."""
    chance = random.Random(seed)
    run = RunDir.create(tmp_path / "run", recipe())
    receiver = Receiver(run)
    place = 0
    while place < len(elsewhere.log):
        if chance.random() < 0.1:
            place = chance.randrange(place + 1)  # the connection was lost, and the log begins anew
        if chance.random() < 0.1:
            receiver = Receiver(run, chance.choice((0, receiver.stamp)))  # or its reader has died
        if chance.random() < 0.75:
            receiver.take(parsed(elsewhere.log[place]))
        if receiver.lacks and chance.random() < 0.3:
            receiver.fill(elsewhere.saves[place])
        assert content(receiver, run) in elsewhere.states, place
        place += 1
    receiver.settle(elsewhere.content)
    assert content(receiver, run) == elsewhere.content and not receiver.lacks


def test_a_gap_is_filled_by_the_next_save_with_what_came_after_it(elsewhere: Elsewhere, tmp_path: Path):
    run = RunDir.create(tmp_path / "run", recipe())
    receiver = Receiver(run)
    for text in (*elsewhere.log[:3], *elsewhere.log[4:7]):
        receiver.take(parsed(text))
    assert receiver.lacks and content(receiver, run) == elsewhere.states[3]
    assert not receiver.fill(elsewhere.states[2]) and receiver.lacks  # a save of before
    assert receiver.fill(elsewhere.states[6]) == [step(2), step(3), step(4), step(5)]
    assert content(receiver, run) == elsewhere.states[7] and not receiver.lacks


def test_what_is_no_event_is_no_line(elsewhere: Elsewhere):
    good = elsewhere.log[3]
    assert Line.parse(good) is not None
    for text in (
        "",
        "epoch 1",
        good[1:],
        good[:-1],
        good.replace("StepLogged", "Steplogged"),
        good.replace(" 0.1", " x"),
    ):
        assert Line.parse(text) is None


def test_what_this_machine_added_gives_way_to_the_run(elsewhere: Elsewhere, tmp_path: Path):
    """As RunStopped does when the run is resumed."""
    run = RunDir.create(tmp_path / "run", recipe())
    receiver = Receiver(run)
    for text in elsewhere.log[:4]:
        receiver.take(parsed(text))
    run.append(events.RunStopped(by="SIGTERM"))
    receiver = Receiver(run, receiver.stamp)
    assert receiver.take(parsed(elsewhere.log[4])) == [step(3)]
    assert content(receiver, run) == elsewhere.states[5]


def test_only_whole_lines_are_sent(tmp_path: Path):
    run = RunDir.create(tmp_path / "run", recipe())
    sender = Sender(run)
    run.append(STARTED)
    assert len([*sender.lines()]) == 1 and not [*sender.lines()]
    run.append(RunCompleted(test=events.Metrics(loss=float("nan"), top1=0.5, top5=1), coarse_top1=None))
    (line,) = sender.lines()
    assert parsed(line).offset == run.metrics_file.read_bytes().index(b"\n") + 1
