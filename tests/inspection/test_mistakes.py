"""Worst mistakes, against a case counted by hand."""

import math

import pytest

from resnet_cifar.inspection.mistakes import Mistake, worst
from tests.inspection.cases import case


def test_only_wrong_images_count_the_highest_loss_first():
    assert [mistake.row for mistake in worst(case())] == [2, 4, 1]  # the fifth and the second have the same loss
    assert worst(case())[0] == Mistake(2, pytest.approx(-math.log(0.05)), 1, pytest.approx(0.9), 0)


def test_they_can_be_limited_to_a_number_and_to_a_class():
    assert [mistake.row for mistake in worst(case(), n=1)] == [2]
    assert [mistake.row for mistake in worst(case(), label=2)] == [4]
    assert worst(case(), label=1) == []


def test_the_confidence_is_calibrated_and_the_loss_that_of_the_logits():
    warm = worst(case(temperature=2.0))[0]
    assert warm.confidence == pytest.approx(0.9)
    assert warm.loss == pytest.approx(-math.log(0.05**2 / (0.05**2 + 0.9**2 + 2 * 0.025**2)), rel=1e-4)
