"""Times as text."""

import pytest

from resnet_cifar.report.text import between, duration, roughly

HOUR, DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(14, "14 s"), (274, "4 min 34 s"), (7_080, "1 h 58 min"), (DAY, "1 day"), (2 * DAY + 4.2 * HOUR, "2 days 4 h")],
)
def test_a_duration(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12, "less than a minute"),
        (61, "about 1 min"),
        (280, "about 5 min"),
        (1_250, "about 20 min"),
        (3_590, "about 1 h"),
        (5_000, "about 1 h 20 min"),
        (7.2 * HOUR, "about 7 h"),
        (30 * HOUR, "about 30 h"),
        (2.2 * DAY, "about 2 days"),
    ],
)
def test_an_estimate_is_told_no_finer_than_it_is_known(seconds: float, text: str):
    assert roughly(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (59, "less than a minute"),
        (60, "1 to 2 min"),
        (299, "2 to 5 min"),
        (1800, "30 to 60 min"),
        (3600, "1 to 2 h"),
        (86_399, "12 to 24 h"),
        (3 * 86_400, "about 3 days"),
    ],
)
def test_an_estimate_is_a_range(seconds: float, text: str):
    assert between(seconds) == text
