"""The learning-rate range test: a run's own steps, at ever higher rates."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from resnet_cifar import events
from resnet_cifar.data.dataset import load
from resnet_cifar.data.preprocess import CIFAR100
from resnet_cifar.engine import loop
from resnet_cifar.engine.range_test import Point, RangeTest, range_test, rates
from resnet_cifar.model.initial import Start, build
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import HEAD, Recipe
from tests.builders import CPU, begin, of_kind, recipe, result, same_weights, stage

FULL = stage(
    augmentation=AUGMENTATIONS["strongest"], lr=0.2, backbone_lr=0.05, layer_decay=0.7, weight_decay=0.1,
    label_smoothing=0.1, trainable=("layer3", "layer4", "fc"), ema_decay=0.9,
)  # fmt: skip


def fresh(plan: Recipe) -> ResNet:
    return build(plan, Start(None, CIFAR100, ""))


def found_by(plan: Recipe, lrs: list[float], number: int = 0, model: ResNet | None = None) -> RangeTest:
    train = result(load(plan, None, CPU)).train
    return result(range_test(model or fresh(plan), plan, number, train, CIFAR100, "fp32", None, lrs))


def losses_of_a_run(plan: Recipe, lrs: list[float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Losses of the first steps of a run whose schedule is `lrs`."""
    peak = plan.stages[0].lr
    monkeypatch.setattr(loop, "learning_rate_factor", lambda _, step, __: lrs[min(step, len(lrs) - 1)] / peak)
    _, said = begin(replace(plan, log_every=1, precision="fp32"))
    return [event.loss for event in of_kind(events.StepLogged, list(said))][: len(lrs)]


@pytest.mark.parametrize("name", ["everything at once", "alternating flips", "cached features", "adamw"])
def test_its_steps_are_those_of_a_run_at_the_same_rates(name: str, monkeypatch: pytest.MonkeyPatch):
    """Weight decay, frozen groups, the backbone's ratio, mixing and smoothing included, over two epochs."""
    plan = recipe(
        {
            "everything at once": FULL,
            "alternating flips": stage(augmentation=replace(AUGMENTATIONS["standard"], flip="alternating")),
            "cached features": stage(trainable=HEAD, views=1, augmentation=AUGMENTATIONS["standard"]),
            "adamw": stage(optimizer="adamw", lr=1e-3),
        }[name],
        train_images=112,  # a last batch of few images could pass for divergence
    )
    peak = plan.stages[0].lr
    for lrs in ([peak / 10] * 9, rates(9, peak / 1000, peak / 4))[name != "everything at once" :]:
        found = found_by(plan, lrs)
        assert [point.lr for point in found.points] == lrs
        assert [point.loss for point in found.points] == losses_of_a_run(plan, lrs, monkeypatch)


def test_it_is_like_the_first_epoch_of_a_stage_throughout(monkeypatch: pytest.MonkeyPatch):
    """However few epochs the stage has, mixing does not end and warm-up does not delay."""
    plan, lrs = recipe(replace(FULL, epochs=1, warmup_epochs=1.0)), [0.02] * 16
    longer = recipe(replace(FULL, epochs=3))
    assert [point.loss for point in found_by(plan, lrs).points] == losses_of_a_run(longer, lrs, monkeypatch)


def test_the_same_seed_finds_the_same_and_the_model_is_not_touched():
    plan, lrs = recipe(stage(), stage(trainable=("layer4", "fc"))), rates(12, 1e-3, 1.0)
    model = fresh(plan).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    learning = [parameter.requires_grad for parameter in model.parameters()]
    state = torch.random.get_rng_state()
    first, again = found_by(plan, lrs, model=model), found_by(plan, lrs, model=model)
    assert first == again and first != found_by(replace(plan, seed=1), lrs, model=model)
    assert first != found_by(plan, lrs, number=1, model=model)
    assert same_weights(before, model.state_dict()) and not model.training and not model.frozen
    assert [parameter.requires_grad for parameter in model.parameters()] == learning
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_stops_where_the_loss_diverges():
    lrs = rates(40, 1e-5, 1e6)
    found = found_by(recipe(stage(augmentation=AUGMENTATIONS["none"])), lrs)
    assert found.diverges_at in lrs and 0.01 < found.diverges_at < 1e5
    assert len(found.points) < len(lrs) and all(math.isfinite(point.loss) for point in found.points)
    start = found.points[0].smoothed
    assert max(point.smoothed for point in found.points[:-1]) < 1.2 * start
    assert found.suggestion == pytest.approx(found.diverges_at / 10, rel=0.06)


def test_a_loss_that_is_not_finite_ends_it():
    plan = recipe()
    model = fresh(plan)
    torch.nn.init.constant_(model.fc.bias, math.nan)
    assert found_by(plan, rates(5), model=model) == RangeTest((), 1e-5)


def test_without_divergence_the_lowest_loss_counts():
    points = tuple(Point(lr, loss, loss) for lr, loss in ((1e-3, 4.0), (0.0314, 3.0), (1.0, 3.5)))
    assert RangeTest(points, None).suggestion == 0.0031
    assert RangeTest(points, 2.0).suggestion == 0.2


def test_rates_grow_by_the_same_factor():
    found = rates(100)
    assert len(found) == 100 and found[0] == 1e-5 and found[-1] == pytest.approx(10)
    factors = {round(after / before, 6) for before, after in pairwise(found)}
    assert len(factors) == 1
