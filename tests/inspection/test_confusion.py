"""Confusion and class accuracies, against a case counted by hand."""

import pytest

from resnet_cifar.inspection.confusion import (
    ClassAccuracy,
    Pair,
    class_accuracies,
    coarse_confusion,
    confusion,
    most_confused,
    rows_of,
    superclass_order,
)
from resnet_cifar.recipe.datasets import DATASETS
from tests.inspection.cases import SPEC, case

COUNTS = [[1, 2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]


def test_a_row_is_what_the_images_of_a_class_were_taken_for():
    assert confusion(case()).tolist() == COUNTS


def test_superclasses_add_up_their_classes():
    assert coarse_confusion(confusion(case()), SPEC).tolist() == [[2, 3], [0, 1]]
    assert superclass_order(SPEC) == [0, 2, 1, 3]


def test_cifar100s_superclasses_are_blocks_of_five():
    spec = DATASETS["cifar100"]
    order = superclass_order(spec)
    assert sorted(order) == list(range(100))
    assert [spec.superclass_of[label] for label in order] == [block for block in range(20) for _ in range(5)]


def test_the_most_confused_pairs_come_first_and_the_diagonal_is_none():
    assert most_confused(confusion(case()), SPEC) == [Pair(0, 1, 2, pytest.approx(2 / 3)), Pair(2, 3, 1, 0.5)]
    assert len(most_confused(confusion(case()), SPEC, n=1)) == 1


def test_classes_are_sorted_by_accuracy_and_those_without_images_are_left_out():
    found = class_accuracies(confusion(case()))
    assert found == [ClassAccuracy(1, 1, 1.0), ClassAccuracy(2, 2, 0.5), ClassAccuracy(0, 3, pytest.approx(1 / 3))]


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_images_behind_a_cell_are_the_most_confident_first(temperature: float):
    assert rows_of(case(temperature), 0, 1) == [2, 1]
    assert rows_of(case(temperature), 3, 0) == []
