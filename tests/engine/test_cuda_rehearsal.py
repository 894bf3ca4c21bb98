"""The whole engine on a CUDA device that is not there: every tensor on the right device, every wait by name."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorDeviceMismatchError

from resnet_cifar import events
from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.data.split import Dataset, Split
from resnet_cifar.engine import loop
from resnet_cifar.engine.evaluate import test as run_test
from resnet_cifar.engine.state import Training
from resnet_cifar.engine.step import Batch, train_step
from resnet_cifar.model.distillation import Teacher
from resnet_cifar.model.initial import Start, build
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.system.device import runs_in
from tests.builders import of_kind, result
from tests.engine.fake_cuda import CUDA, fake_cuda

pytestmark = [
    pytest.mark.filterwarnings("ignore:CUDA is not available", "ignore:Accessing the data pointer"),
    pytest.mark.slow,  # fake tensors take as long as real ones, for several recipes
]

# A report and a save, the end of an evaluation, and the results of a test.
WAITS = {"Tally.read", "measure", "coarse_top1", "reliability", "per_class_top1"}
STEPS = 3


def small(recipe: Recipe) -> Recipe:
    """A few epochs of three steps, so few that each image size and augmentation still has one."""
    stages = tuple(replace(stage, epochs=5 if stage.progression else 1, warmup_epochs=0.5) for stage in recipe.stages)
    return replace(recipe, stages=stages, arch="tiny", init="scratch", train_images=None, log_every=2)


def split(images: int, recipe: Recipe) -> Split:
    shape = (images, 3, 32, 32)
    return Split(
        torch.empty(shape, dtype=torch.uint8, device=CUDA),
        torch.empty(images, dtype=torch.long, device=CUDA),
        recipe.dataset,
    )


def begin(recipe: Recipe, taught: bool = False) -> Training:
    teacher = None
    if taught:
        net = build(recipe, Start(None, CIFAR100, "")).to(CUDA).eval()
        teacher = Teacher(net, 0.5, runs_in(CUDA, "bf16"))
    return Training(build(recipe, Start(None, CIFAR100, "")).to(CUDA), recipe, CUDA, "bf16", teacher=teacher)


def data(recipe: Recipe) -> Dataset:
    return Dataset(split(STEPS * recipe.stages[-1].batch_size, recipe), split(150, recipe), split(150, recipe))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_waits_for_the_device_only_at_reports_and_evaluations(name: str):
    recipe = small(RECIPES[name])
    with fake_cuda(WAITS) as waits:
        training = begin(recipe)
        said = list(loop.train(training, data(recipe), CIFAR100))
        assert training.done and {tensor.device for tensor in training.best.weights.values()} == {CUDA}
    ended, reports = of_kind(events.EpochEnded, said), of_kind(events.StepLogged, said)
    evaluations = sum(1 + (event.ema_val is not None) for event in ended)
    assert Counter(waits.seen) == {"Tally.read": len(reports), "measure": evaluations}
    trained = sum(event.phase == "train" for event in of_kind(events.Progress, said))
    assert len(ended) < len(reports) < trained


def test_a_resumed_run_is_on_the_device_too_and_a_save_waits_once():
    recipe = small(RECIPES["overnight"])
    with fake_cuda(WAITS) as waits:
        dataset, training = data(recipe), begin(recipe, taught=True)
        running = loop.train(training, dataset, CIFAR100)
        while training.position.epoch < 3 or training.position.step < 1:
            next(running)
        before = len(waits.seen)
        tensors, facts = training.state()
        assert waits.seen[before:] in ([], ["Tally.read"])
        resumed = begin(recipe, taught=True)
        resumed.restore({name: tensor.cpu() for name, tensor in tensors.items()}, facts)
        places = {tensor.device for group in resumed.optimizer.state.values() for tensor in group.values()}
        assert places == {CUDA}
        assert isinstance(list(loop.train(resumed, dataset, CIFAR100))[-1], events.StageEnded)


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_evaluation_waits_at_its_end(mirrored: bool):
    recipe = small(RECIPES["quick"])
    with fake_cuda(WAITS) as waits:
        model = build(recipe, Start(None, CIFAR100, "")).to(CUDA).eval()
        preprocess = Preprocess(32, CIFAR100, CUDA)
        result(run_test(model, split(20_000, recipe), preprocess, runs_in(CUDA, "bf16"), mirrored=mirrored))
        assert waits.seen == ["measure", "coarse_top1", "reliability", "per_class_top1"]


def a_wait(training: Training, batch: Batch) -> Tensor:
    loss_and_hits = train_step(training, batch)
    loss_and_hits[0].item()
    return loss_and_hits


def a_condition(training: Training, batch: Batch) -> Tensor:
    loss_and_hits = train_step(training, batch)
    return loss_and_hits if loss_and_hits[0] > 0 else -loss_and_hits


def a_tensor_elsewhere(training: Training, batch: Batch) -> Tensor:
    return train_step(training, batch) + torch.zeros(2)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (a_wait, DataDependentOutputException),
        (a_condition, DataDependentOutputException),
        (a_tensor_elsewhere, FakeTensorDeviceMismatchError),
    ],
)
def test_a_fault_that_is_planted_in_the_step_is_found(monkeypatch: pytest.MonkeyPatch, step, error):
    monkeypatch.setattr(loop, "train_step", step)
    recipe = small(RECIPES["quick"])
    with fake_cuda(WAITS), pytest.raises(error):
        list(loop.train(begin(recipe), data(recipe), CIFAR100))
