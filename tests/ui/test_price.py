"""The price of a run, as a line of text."""

import pytest

from resnet_cifar.training.estimate import Estimate
from resnet_cifar.ui.train import price
from resnet_cifar.ui.train.price import Load, estimate_line
from tests.builders import wait


def test_the_estimate_escapes_names_of_runs():
    assert "<img" not in estimate_line(Estimate(10, 100, None, "<img src=x>"), "a CPU")


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (1.5, "<b class='short'>1 h 30 min</b>"),
        (2.5, "<b class='long'>2 h 30 min</b>"),
        (52.2, "<b class='very long'>2 days 4 h</b>"),
    ],
)
def test_long_times_stand_out(hours: float, text: str):
    assert text in estimate_line(Estimate(3600 * hours, None, None, None), "a CPU")


def test_a_busy_machine_is_told_and_measured_seldom(monkeypatch: pytest.MonkeyPatch):
    measured = [0.3, 1.8]
    monkeypatch.setattr(price, "busy_cores", lambda: measured.pop())
    monkeypatch.setattr(price, "cores", lambda: 2)
    load = Load()
    wait(load.sentence)
    assert "1.8 of 2 cores are in use by other programs" in str(load.sentence())
    assert measured == [0.3]
    monkeypatch.setattr(price, "_MEASURE_EVERY", 0.0)
    wait(lambda: load.sentence() is None)
