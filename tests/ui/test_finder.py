"""The learning-rate finder of the page, without a browser."""

from pathlib import Path

import pytest

from resnet_cifar.errors import Busy, UserError
from resnet_cifar.training.preflight import check_free, using
from resnet_cifar.ui.train import tasks
from resnet_cifar.ui.train.finder import Finder
from tests.builders import CPU, recipe, stage, wait

SLOW = recipe(stage(image_size=64, batch_size=32), arch="resnet18")


def ended(tests: Finder, ticket: int) -> dict:
    wait(lambda: "figure" in tests.answer(ticket))
    return tests.answer(ticket)


@pytest.mark.slow
def test_a_test_reports_its_progress_and_its_result(monkeypatch: pytest.MonkeyPatch):
    tests = Finder(CPU)
    ticket = tests.begin(recipe(), 0, None)
    parts: list[float] = []
    wait(lambda: "part" not in (answer := tests.answer(ticket)) or parts.append(answer["part"]))
    assert parts == sorted(parts) and len(set(parts)) > 3
    found = tests.answer(ticket)
    assert float(found["suggestion"]) > 0 and found["where"].startswith("a tenth of")
    assert f"suggested {found['suggestion']}" in found["figure"]
    wait(lambda: check_free(CPU) is None)
    again = ended(tests, tests.begin(recipe(), 0, None))
    assert again == found


def test_it_can_be_stopped_and_frees_the_device():
    tests = Finder(CPU)
    ticket = tests.begin(SLOW, 0, None)
    wait(lambda: tests.answer(ticket)["part"] > 0)
    with pytest.raises(Busy, match="busy with the learning-rate finder"):
        tests.begin(SLOW, 0, None)
    tests.stop(ticket)

    def stopped() -> bool:
        try:
            tests.answer(ticket)
        except UserError as error:
            return str(error) == "Stopped."
        return False

    wait(stopped)
    check_free(CPU)


def test_a_test_that_no_page_waits_for_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tasks, "_WAITS", 0.0)
    tests = Finder(CPU)
    ticket = tests.begin(SLOW, 0, None)
    wait(lambda: tests._tasks[ticket].error is not None)
    check_free(CPU)


def test_a_busy_device_is_refused_in_words():
    with using(CPU, "some-run"), pytest.raises(Busy, match="busy with run 'some-run'; stop that run"):
        Finder(CPU).begin(recipe(), 0, None)


def test_a_failure_becomes_a_sentence(tmp_path: Path):
    tests = Finder(CPU)
    ticket = tests.begin(recipe(data="cifar100"), 0, tmp_path / "nowhere")
    wait(lambda: tests._tasks[ticket].error is not None)
    with pytest.raises(UserError, match="there is no data folder"):
        tests.answer(ticket)
