"""Reliability and temperature, against values counted by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from resnet_cifar.engine.calibration import fit_temperature, reliability


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    return torch.tensor(probabilities).log()


def test_the_calibration_error_of_a_small_case_is_the_one_counted_by_hand():
    logits = logits_of([[0.85, 0.15], [0.85, 0.15], [0.55, 0.45], [0.35, 0.65]])
    labels = torch.tensor([0, 1, 0, 1])
    found = reliability(logits, labels, bins=10)
    assert found.images == (0, 0, 0, 0, 0, 1, 1, 0, 2, 0)
    assert found.accuracy[8] == 0.5 and found.confidence[8] == pytest.approx(0.85)
    assert found.ece == pytest.approx((2 * 0.35 + 0.45 + 0.35) / 4)


def test_the_temperature_undoes_a_scaling_of_calibrated_logits():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 10, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(1, rel=0.03)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.03)
    temperature = fit_temperature(3 * logits, labels)
    assert reliability(3 * logits, labels, temperature).ece < 0.02 < 0.1 < reliability(3 * logits, labels).ece


def test_the_temperature_is_the_best_of_many():
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(500) % 5
    logits = 4 * torch.randn(500, 5, generator=generator) + 3 * F.one_hot(labels)
    best = fit_temperature(logits, labels)
    losses = {t: F.cross_entropy(logits / t, labels).item() for t in (best, 0.9 * best, 1.1 * best, 1.0)}
    assert min(losses, key=losses.__getitem__) == best


@pytest.mark.parametrize("right", [True, False])
def test_val_images_that_are_all_right_or_all_wrong_give_a_usable_temperature(right: bool):
    logits = F.one_hot(torch.arange(50) % 5, 5).float() * 10
    labels = torch.arange(50) % 5 if right else (torch.arange(50) + 1) % 5
    temperature = fit_temperature(logits, labels)
    assert math.isfinite(temperature) and 0.01 < temperature < 100


def test_without_images_nothing_is_changed():
    assert fit_temperature(torch.empty(0, 5), torch.empty(0, dtype=torch.long)) == 1.0
    assert reliability(torch.empty(0, 5), torch.empty(0, dtype=torch.long)).ece == 0
