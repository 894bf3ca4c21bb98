import pytest
import torch
import torchvision
from torch import Tensor, nn

from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.cost import forward_macs


def count_multiply_adds(arch: str, stem: str, image_size: int, num_classes: int = 100) -> int:
    """Count the multiply-adds of convolutions and the head for one image, as He et al. do, from real shapes."""
    total = 0

    def add(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        weight: Tensor = module.weight  # type: ignore[assignment]
        total += weight[0].numel() * output.numel()

    with torch.device("meta"):  # only shapes are computed
        model = ResNet(arch, stem, num_classes).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(add)
        model(torch.empty(1, 3, image_size, image_size))
    return total


@pytest.mark.parametrize("arch", [name for name, kind in ARCHITECTURES.items() if kind.known_elsewhere])
@pytest.mark.parametrize("stem", ["stock", "cifar"])
def test_logits_are_torchvisions_bit_for_bit(arch: str, stem: str):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(arch, num_classes=100)
    if stem == "cifar":
        theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    ours = ResNet(arch, stem)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 32, 32)
    for mode in (True, False):  # training first, so that evaluation uses statistics that have moved
        ours.train(mode)
        theirs.train(mode)
        assert torch.equal(ours(images), theirs(images))
    assert torch.equal(ours.bn1.running_var, theirs.bn1.running_var)


def test_size_and_cost_are_the_papers():
    """He et al. 2016, table 1: 3.6 billion multiply-adds; 21,797,672 is torchvision's count."""
    assert sum(p.numel() for p in ResNet(num_classes=1000).parameters()) == 21_797_672
    assert count_multiply_adds("resnet34", "stock", 224, 1000) == pytest.approx(3.6e9, rel=0.02)
    assert count_multiply_adds("resnet18", "stock", 224, 1000) == pytest.approx(1.8e9, rel=0.02)
    assert count_multiply_adds("resnet34", "cifar", 32) == pytest.approx(1.16e9, rel=0.01)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("stem", ["stock", "cifar"])
def test_the_cost_told_from_the_table_is_that_of_the_network(arch: str, stem: str):
    told = sum(forward_macs(arch, stem, 64, 100).values())
    assert told == count_multiply_adds(arch, stem, 64)


def test_a_new_block_is_its_shortcut():
    model = ResNet().eval()
    x = torch.rand(2, 64, 8, 8)  # what relu lets through
    assert torch.equal(model.layer1(x), x)


def test_a_network_without_values_is_not_initialized(monkeypatch: pytest.MonkeyPatch):
    """Torch would import its compiler for that, two seconds at the start of the page and of a run that goes on."""
    monkeypatch.delattr("torch.nn.init.kaiming_normal_")
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in ResNet("resnet34", "cifar", 10).state_dict().items()}
    monkeypatch.undo()
    assert shapes == {name: value.shape for name, value in ResNet("resnet34", "cifar", 10).state_dict().items()}
