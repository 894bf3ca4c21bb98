"""The price of a run, as a line of text."""

from resnet_cifar.training.estimate import Estimate
from resnet_cifar.ui.train.price import estimate_line


def test_the_estimate_escapes_names_of_runs():
    assert "<img" not in estimate_line(Estimate(10, 100, None, "<img src=x>"), "a CPU")
