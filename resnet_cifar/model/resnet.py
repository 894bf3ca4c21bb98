"""ResNet-18 and ResNet-34 with torchvision's parameter names, so that weights go either way unchanged.

Source: He et al., "Deep Residual Learning for Image Recognition" (2016), section 3.3, table 1 and section 4.2.
"""

import torch
from torch import Tensor, nn

from resnet_cifar.recipe.config import Group

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
FEATURES = 512


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a way around them."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, channels, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x)) + shortcut
        return self.relu(x)


class ResNet(nn.Module):
    """A residual network of basic blocks that knows which of its groups are frozen."""

    def __init__(self, arch: str = "resnet34", stem: str = "stock", num_classes: int = 100) -> None:
        super().__init__()
        self.stem = stem
        self.frozen: frozenset[Group] = frozenset()
        self.conv1, self.maxpool = _stem(stem)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        blocks = BLOCKS[arch]
        self.layer1 = _layer(64, 64, blocks[0], stride=1)
        self.layer2 = _layer(64, 128, blocks[1], stride=2)
        self.layer3 = _layer(128, 256, blocks[2], stride=2)
        self.layer4 = _layer(256, FEATURES, blocks[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(FEATURES, num_classes)
        self._initialise()

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) normalised pictures -> (B, 512): what the head sees."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.avgpool(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) normalised pictures -> (B, classes) logits."""
        return self.fc(self.features(x))

    def group(self, name: Group) -> tuple[nn.Module, ...]:
        """The modules of a group."""
        return (self.conv1, self.bn1) if name == "stem" else (self.get_submodule(name),)

    def train(self, mode: bool = True) -> "ResNet":
        """Switch between training and evaluation. BatchNorm layers of frozen groups stay in evaluation, always."""
        super().train(mode)
        for name in self.frozen:
            for module in self.group(name):
                module.eval()
        return self

    def _initialise(self) -> None:
        """He et al. 2015 for convolutions; every block starts as its shortcut (Goyal et al. 2017, section 5.1)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)


def count_multiply_adds(arch: str, stem: str, image_size: int, num_classes: int = 100) -> int:
    """Multiply-adds of one picture's forward pass, convolutions and the head, as He et al. count them."""
    total = 0

    def add(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        weight: Tensor = module.weight  # type: ignore[assignment]
        total += weight[0].numel() * output.numel()

    with torch.device("meta"):  # shapes alone: nothing is computed
        model = ResNet(arch, stem, num_classes).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(add)
        model(torch.empty(1, 3, image_size, image_size))
    return total


def _stem(stem: str) -> tuple[nn.Conv2d, nn.Module]:
    if stem == "cifar":
        return nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False), nn.Identity()
    return nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.MaxPool2d(3, stride=2, padding=1)


def _layer(inputs: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))
