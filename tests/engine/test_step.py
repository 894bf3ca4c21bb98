"""Micro-batches, after memory ran out."""

from collections.abc import Iterator

import pytest
import torch

from resnet_cifar import events
from resnet_cifar.engine.state import Training
from resnet_cifar.engine.step import Batch, train_step
from tests.builders import begin, of_kind, recipe, stage


def held_still(training: Training) -> Training:
    """With BatchNorm in evaluation, what an image does depends on no other image of its batch."""
    for module in training.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
            module.eval()
    return training


@pytest.mark.parametrize("labels", [torch.arange(10), torch.rand(10, 100, generator=torch.manual_seed(0)).softmax(1)])
def test_micro_batches_are_the_same_step(labels: torch.Tensor):
    images = torch.randn(10, 3, 32, 32, generator=torch.manual_seed(1))
    results, weights = [], []
    for micro_batches in (1, 2, 3):
        training = held_still(begin(recipe())[0])
        training.micro_batches = micro_batches
        results.append(train_step(training, Batch(images, labels, 10)))
        weights.append(training.weights())
    for row, after in zip(results[1:], weights[1:], strict=True):
        assert torch.allclose(row, results[0], rtol=1e-5)
        assert all(torch.allclose(after[name], tensor, atol=1e-6) for name, tensor in weights[0].items())


def test_where_memory_runs_out_batches_are_halved_once():
    """The memory that is asked for here is more than any machine has: a real error of torch's allocator."""

    def limited_to(images: int) -> tuple[Training, Iterator[events.Event]]:
        training, loop = begin(recipe(stage(batch_size=16, epochs=1)))

        def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
            if module.training and len(inputs[0]) > images:
                torch.empty(2**58, dtype=torch.uint8)

        training.model.layer4.register_forward_pre_hook(hook)
        return training, loop

    training, loop = limited_to(8)
    said = list(loop)
    (divided,) = of_kind(events.BatchSplit, said)
    assert (divided.step, divided.micro_batches) == (0, 2) and training.done
    assert of_kind(events.EpochEnded, said)[0].train_loss > 0
    with pytest.raises(RuntimeError, match="alloc"):
        list(limited_to(4)[1])


def test_a_resumed_stage_keeps_its_micro_batches():
    training, loop = begin(recipe())
    next(loop)
    training.micro_batches = 2
    tensors, facts = training.state()
    other, _ = begin(recipe())
    other.restore({name: tensor.clone() for name, tensor in tensors.items()}, facts)
    assert other.micro_batches == 2
    other.enter(0)
    assert other.micro_batches == 1
