"""Likely label errors: the filter and the order counted by hand; the raters' verdicts."""

from dataclasses import replace

import pytest
import torch

from resnet_cifar.inspection.label_errors import (
    Corrected,
    Verdict,
    doubted,
    on_corrected_labels,
    suspects,
    suspicion,
    verdict,
    verdicts,
)
from resnet_cifar.inspection.predictions import Predictions
from resnet_cifar.model.calibration import IDENTITY
from resnet_cifar.recipe.datasets import DATASETS
from tests.inspection.cases import case


def test_an_image_is_doubted_if_the_model_is_confident_of_another_class():
    """The model is confident of an ant from (0.7 + 0.2 + 0.05) / 3 on, of a bat from 0.35 and of a cow from 0.45 on.
    There are no dogs, so it can't be confident of one.
    """
    assert doubted(case()).tolist() == [False, True, True, False, False, False]
    assert suspicion(case()).tolist() == pytest.approx([-0.6, 0.4, 0.85, -0.1, 0.4, -0.6])
    assert suspects(case()) == [2, 1]


def test_most_labels_that_were_changed_are_found_and_no_others():
    """500 images of ten classes, the model right on all; then 25 labels are wrong."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(500) % 10
    logits = torch.randn(500, 10, generator=generator)
    logits[torch.arange(500), truth] += 8
    changed = torch.randperm(500, generator=generator)[:25]
    labels = truth.clone()
    labels[changed] = (truth[changed] + 3) % 10
    spec = replace(DATASETS["synthetic"], labels=tuple("abcdefghij"), superclasses=(), superclass_of=())
    found = suspects(Predictions("val", logits, labels, spec, IDENTITY))
    assert set(found) <= set(changed.tolist()) and len(found) >= 20


def answers(spec: str = "cifar100", split: str = "test") -> Predictions:
    """A model that says class 6 of every image."""
    logits = torch.zeros(10_000, 100)
    logits[:, 6] = 5
    return Predictions(split, logits, torch.full((10_000,), 92), DATASETS[spec], 1.0)


def test_the_raters_counts_are_those_of_the_source():
    rated = verdicts(answers())
    assert len(rated) == 2235 and set(rated) <= set(range(10_000))
    assert sum(not verdict.confirmed for verdict in rated.values()) == 585
    assert sum(verdict.correction is not None for verdict in rated.values()) == 318
    assert all(each.given + each.guessed + each.neither + each.both == 5 for each in rated.values())
    assert verdict(5) == rated[5] == Verdict(guess=6, given=2, guessed=2, neither=0, both=1)
    assert not verdict(5).confirmed and verdict(5).correction is None
    assert verdict(0) is None


def test_they_are_of_cifar100s_test_images_and_of_no_others():
    assert verdicts(answers(split="val")) == {} == verdicts(answers("synthetic"))
    assert on_corrected_labels(answers("synthetic")) is None


def test_corrected_labels_are_told_beside_the_official_ones():
    sixes = sum(verdict.correction == 6 for verdict in verdicts(answers()).values())
    assert on_corrected_labels(answers()) == Corrected(318, 0.0, pytest.approx(sixes / 318), sixes / 10_000)
    assert sixes > 0
