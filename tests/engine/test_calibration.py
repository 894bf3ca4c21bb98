"""Reliability and calibration, against values counted by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from resnet_cifar.engine.calibration import fit_calibration, reliability
from resnet_cifar.model.calibration import Calibration


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    return torch.tensor(probabilities).log()


def test_the_calibration_error_of_a_small_case_is_the_one_counted_by_hand():
    logits = logits_of([[0.85, 0.15], [0.85, 0.15], [0.55, 0.45], [0.35, 0.65]])
    labels = torch.tensor([0, 1, 0, 1])
    found = reliability(logits, labels, bins=10)
    assert found.images == (0, 0, 0, 0, 0, 1, 1, 0, 2, 0)
    assert found.accuracy[8] == 0.5 and found.confidence[8] == pytest.approx(0.85)
    assert found.ece == pytest.approx((2 * 0.35 + 0.45 + 0.35) / 4)


def test_the_calibration_undoes_what_was_done_to_calibrated_logits():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(6_000, 10, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    surprise = -logits.log_softmax(1)
    for harm, temperature, power in ((logits, 1, 1), (3 * logits, 3, 1), (-(surprise**0.5), None, None)):
        found = fit_calibration(harm, labels)
        assert reliability(harm, labels, found).ece < 0.02
        assert temperature is None or found.temperature == pytest.approx(temperature, rel=0.1)
        assert power is None or found.power == pytest.approx(power, rel=0.05)
    assert reliability(3 * logits, labels).ece > 0.1
    alone = Calibration(fit_calibration(3 * logits, labels).temperature)
    assert alone(logits).softmax(1) == pytest.approx((logits / alone.temperature).softmax(1))  # temperature scaling


def test_a_small_case_by_hand():
    logits = logits_of([[0.75, 0.25]])
    surprise = [-math.log(0.75), -math.log(0.25)]
    top, other = (math.exp(-(value**2) / 0.5) for value in surprise)
    shares = Calibration(temperature=0.5, power=2)(logits).softmax(1)
    assert shares[0].tolist() == pytest.approx([top / (top + other), other / (top + other)])


@pytest.mark.parametrize("power", [0.5, 1.0, 1.94, 4.0])
def test_the_order_of_the_classes_stays(power: float):
    logits = 6 * torch.randn(500, 100, generator=torch.Generator().manual_seed(2))
    assert torch.equal(Calibration(4.7, power)(logits).argsort(1), logits.argsort(1))


def test_the_calibration_is_the_best_of_many():
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(500) % 5
    logits = 4 * torch.randn(500, 5, generator=generator) + 3 * F.one_hot(labels)
    best = fit_calibration(logits, labels)
    others = [Calibration(f * best.temperature, g * best.power) for f in (0.9, 1, 1.1) for g in (0.9, 1, 1.1)]
    losses = {one: F.cross_entropy(one(logits), labels).item() for one in (*others, Calibration())}
    assert min(losses, key=losses.__getitem__) == best


@pytest.mark.parametrize("right", [True, False])
def test_val_images_that_are_all_right_or_all_wrong_give_a_usable_calibration(right: bool):
    logits = F.one_hot(torch.arange(50) % 5, 5).float() * 10
    labels = torch.arange(50) % 5 if right else (torch.arange(50) + 1) % 5
    found = fit_calibration(logits, labels)
    assert 0.01 < found.temperature < 100 and 0.2 < found.power < 5
    assert found(logits).softmax(1).isfinite().all()


def test_without_images_nothing_is_changed():
    assert fit_calibration(torch.empty(0, 5), torch.empty(0, dtype=torch.long)) == Calibration()
    assert reliability(torch.empty(0, 5), torch.empty(0, dtype=torch.long)).ece == 0
