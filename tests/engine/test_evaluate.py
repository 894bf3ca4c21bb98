import pytest
import torch

from resnet_cifar.data.batches import Images
from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.engine.evaluate import coarse_top1, measure, per_class_top1, predict, summarise
from resnet_cifar.engine.evaluate import test as run_test
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.classes import FINE_TO_COARSE
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.system.device import Lead, runs_in
from tests.builders import CPU, result

SPEC = DATASETS["cifar100"]


@pytest.fixture
def answers() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 100, (777,), generator=generator)
    logits = torch.randn(777, 100, generator=generator)
    logits[torch.arange(777), labels] += 2
    return logits, labels


def test_metrics_are_means_over_images(answers):
    logits, labels = answers
    metrics = measure(logits, labels)
    ranks = [row.argsort(descending=True).tolist().index(label) for row, label in zip(logits, labels, strict=True)]
    assert metrics.top1 == sum(rank == 0 for rank in ranks) / 777
    assert metrics.top5 == sum(rank < 5 for rank in ranks) / 777
    losses = [-row.log_softmax(0)[label].item() for row, label in zip(logits, labels, strict=True)]
    assert metrics.loss == pytest.approx(sum(losses) / 777, rel=1e-5)


def test_superclasses_and_classes_add_up(answers):
    logits, labels = answers
    guesses = logits.argmax(1).tolist()
    right = [FINE_TO_COARSE[guess] == FINE_TO_COARSE[label] for guess, label in zip(guesses, labels, strict=True)]
    assert coarse_top1(logits, labels, SPEC) == pytest.approx(sum(right) / 777)
    shares = torch.bincount(labels, minlength=100) / 777
    total = sum(top1 * share for top1, share in zip(per_class_top1(logits, labels), shares.tolist(), strict=True))
    assert total == pytest.approx(measure(logits, labels).top1, rel=1e-5)
    assert summarise(logits, labels, SPEC)["per_class_top1"]["wolf"] == per_class_top1(logits, labels)[97]


def test_with_mirror_images_an_image_and_its_mirror_image_are_one():
    model, generator = ResNet("resnet18").eval(), torch.Generator().manual_seed(0)
    torch.nn.init.normal_(model.fc.weight, generator=generator)
    images = torch.randint(0, 256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.arange(40)
    preprocess, autocast = Preprocess(32, CIFAR100, CPU), runs_in(CPU, "fp32")
    plain, other = (Split(seen, labels, SPEC) for seen in (images, images.flip(-1)))
    one, mirror = (result(run_test(model, split, preprocess, autocast, mirrored=True)) for split in (plain, other))
    assert one.pop("loss") == pytest.approx(mean_loss := mirror.pop("loss"), rel=1e-4)
    assert one == mirror
    alone = [result(predict(model, Images(split, preprocess, "stock"), autocast)) for split in (plain, other)]
    mean = sum(logits.softmax(1) for logits in alone) / 2
    assert mean_loss == pytest.approx(-mean[labels, labels].log().mean().item(), rel=1e-4)
    assert mean_loss != pytest.approx(measure(alone[0], labels).loss, rel=1e-4)


def test_batches_make_no_difference_and_the_last_one_may_be_uneven():
    model = ResNet("resnet18").train()
    split = Split(
        torch.randint(0, 256, (23, 3, 32, 32), dtype=torch.uint8),
        torch.zeros(23, dtype=torch.long),
        SPEC,
    )
    source = Images(split, Preprocess(32, CIFAR100, CPU), "stock")
    whole = result(predict(model, source, runs_in(CPU, "fp32")))
    source.evaluation_batch = 5
    pieces = list(predict(model, source, runs_in(CPU, "fp32")))
    assert [progress.done for progress in pieces] == [5, 10, 15, 20, 23]
    assert torch.allclose(result(predict(model, source, runs_in(CPU, "fp32"))), whole, atol=1e-5)
    assert model.training


def test_the_host_is_one_piece_ahead_of_a_gpu(monkeypatch: pytest.MonkeyPatch):
    """A GPU's events stand in for it: each is waited for only once the next piece of work is given."""
    told: list[str] = []

    class Event:
        def __init__(self) -> None:
            self.number = len([line for line in told if line.startswith("given")])

        def record(self) -> None:
            told.append(f"given {self.number}")

        def synchronize(self) -> None:
            told.append(f"done {self.number}")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    lead = Lead(torch.device("cuda"))
    for _ in range(3):
        lead.keep()
    assert told == ["given 0", "given 1", "done 0", "given 2", "done 1"]
