import pytest
import torch

from resnet_cifar.model.freezing import freeze_all_but, parameter_groups
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.config import EVERYTHING, HEAD
from tests.builders import stage


def one_step(model: ResNet, trainable: tuple) -> None:
    optimizer = torch.optim.SGD(parameter_groups(model, stage(trainable=trainable)), momentum=0.9)
    model.train()  # as any code might
    model(torch.randn(8, 3, 32, 32)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("trainable", [HEAD, ("layer4", "fc"), ("stem", "layer2"), EVERYTHING])
def test_frozen_groups_keep_weights_and_statistics_to_the_bit(trainable: tuple):
    model = ResNet("resnet18")
    for block in model.modules():
        if isinstance(block, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(block.weight)  # a block that is its shortcut lets nothing learn but that
    freeze_all_but(model, trainable)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    one_step(model, trainable)
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    learning = tuple(name for name in ("conv1", "bn1") if "stem" in trainable) + trainable
    assert moved == {name for name in before if name.startswith(learning)}


def test_an_average_of_a_frozen_model_stays_frozen_too():
    model = ResNet("resnet18")
    freeze_all_but(model, HEAD)
    average = torch.optim.swa_utils.AveragedModel(model)
    average.train()
    assert not average.module.layer1.training and average.module.fc.training
    freeze_all_but(model, EVERYTHING)
    assert model.layer1.training and not average.module.layer1.training


def test_rates_fall_from_the_head_to_the_stem_and_norms_do_not_decay():
    model = ResNet("resnet18")
    groups = parameter_groups(model, stage(lr=0.1, backbone_lr=0.01, layer_decay=0.5))
    rates = {id(p): (group["peak_lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    assert rates[id(model.fc.weight)] == (0.1, 5e-4)
    assert rates[id(model.fc.bias)] == (0.1, 0)
    assert rates[id(model.layer4[0].conv1.weight)] == (0.01, 5e-4)
    assert rates[id(model.layer3[0].bn1.weight)] == (0.005, 0)
    assert rates[id(model.conv1.weight)] == (0.01 / 16, 5e-4)
