"""Imported by the process that forks children, and by no other: what each of them would spend its first second on."""

import functools

from resnet_cifar.data import synthetic
from tests import forked  # noqa: F401
from tests.builders import result

synthetic._split = functools.cache(synthetic._split)
result(synthetic.splits(None))
