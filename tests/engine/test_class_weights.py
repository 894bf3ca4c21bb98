"""Weights of classes of unequal size in the loss."""

import pytest
import torch
import torch.nn.functional as F

from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.data.split import Dataset, Split
from resnet_cifar.engine.loop import train
from resnet_cifar.engine.state import Training
from resnet_cifar.engine.step import Batch, train_step
from resnet_cifar.model.initial import Start, build
from resnet_cifar.recipe.config import HEAD, Recipe
from resnet_cifar.recipe.datasets import OWN, OwnData, class_weights
from tests.builders import CPU, recipe, stage


def of_own(*stages, counts: tuple[int, ...]) -> Recipe:
    facts = OwnData(
        labels=("often", "rare"), train_counts=counts, val_images=20, test_images=2, side=32, fingerprint="x"
    )
    return recipe(*stages, data=OWN, own=facts, train_images=None, val_images=20)


def begin(what: Recipe) -> Training:
    return Training(build(what, Start(None, CIFAR100, "")), what, CPU, "fp32")


def test_all_classes_weigh_the_same_and_an_image_weighs_one_on_average():
    counts = (300, 20, 5)
    weights = class_weights(counts)
    assert weights is not None and sum(a * b for a, b in zip(weights, counts, strict=True)) == pytest.approx(325)
    assert all(a * b == pytest.approx(325 / 3) for a, b in zip(weights, counts, strict=True))
    assert class_weights((10, 12)) is None


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_a_batch_is_the_mean_over_classes(smoothing: float):
    training = begin(of_own(stage(label_smoothing=smoothing), counts=(30, 10)))
    images, labels = torch.randn(8, 3, 32, 32, generator=torch.manual_seed(0)), torch.tensor([0] * 6 + [1] * 2)
    logits = training.model(images).float()
    losses = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    expected = (losses[:6].mean() + losses[6:].mean()) / 2
    again = begin(training.recipe)
    loss, _ = train_step(again, Batch(images, labels, 8))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    mixed = begin(training.recipe)
    assert train_step(mixed, Batch(images, F.one_hot(labels).float(), 8))[0].item() == pytest.approx(loss.item())


def test_a_rare_class_is_learned():
    """Its images look like those of the other class, but a little brighter, and are one in thirty."""

    def seen(images: int, rare: bool, seed: int) -> torch.Tensor:
        noise = torch.randn(images, 3, 32, 32, generator=torch.manual_seed(seed))
        brightness = torch.randn(images, 1, 1, 1, generator=torch.manual_seed(seed + 1))
        return (110 + 30 * brightness + 30 * rare + 20 * noise).clamp(0, 255).to(torch.uint8)

    def recall(counts: tuple[int, int], weighted: bool) -> float:
        what = of_own(stage(trainable=HEAD, epochs=10, lr=0.1), counts=counts if weighted else (1, 1))
        spec = what.dataset
        images = torch.cat([seen(counts[0], False, 0), seen(counts[1], True, 2)])
        labels = torch.tensor([0] * counts[0] + [1] * counts[1])
        test = Split(seen(100, True, 4), torch.ones(100, dtype=torch.long), spec)
        training = begin(what)
        for _ in train(training, Dataset(Split(images, labels, spec), test.take(torch.arange(0)), test), CIFAR100):
            pass
        assert training.best is not None
        training.model.load_state_dict(training.best.weights)
        training.model.eval()
        with torch.inference_mode():
            return training.model(Preprocess(32, CIFAR100, CPU)(test.images)).argmax(1).double().mean().item()

    assert recall((600, 20), weighted=True) > recall((600, 20), weighted=False) + 0.3
