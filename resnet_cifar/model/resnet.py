"""Residual networks with torchvision's parameter names, so that weights can be exchanged in both directions.

Source: He et al., "Deep Residual Learning for Image Recognition" (2016), section 3.3, table 1 and section 4.2.
"""

import torch
from torch import Tensor, nn

from resnet_cifar.recipe.architecture import ARCHITECTURES, Architecture, Block
from resnet_cifar.recipe.config import Group


class ResidualBlock(nn.Module):
    """A sequence of convolutions, each with BatchNorm, and a shortcut around them."""

    def __init__(self, kind: Block, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self._depth = len(kind.kernels)
        width, outputs = inputs, channels * kind.expansion
        for number, kernel in enumerate(kind.kernels):
            last = number == self._depth - 1
            step, out = stride if number == kind.strided else 1, outputs if last else channels
            self.add_module(f"conv{number + 1}", nn.Conv2d(width, out, kernel, step, padding=kernel // 2, bias=False))
            self.add_module(f"bn{number + 1}", nn.BatchNorm2d(out))
            width = out
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The last BatchNorm, before the shortcut is added."""
        return getattr(self, f"bn{self._depth}")

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, inputs, H, W) to (B, channels * expansion, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        for number in range(1, self._depth):
            x = self.relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x)))
        x = self.last_norm(getattr(self, f"conv{self._depth}")(x)) + shortcut
        return self.relu(x)


class ResNet(nn.Module):
    """A residual network that knows which of its groups are frozen."""

    def __init__(self, arch: str = "resnet34", stem: str = "stock", num_classes: int = 100) -> None:
        super().__init__()
        self.stem = stem
        self.frozen: frozenset[Group] = frozenset()
        architecture = ARCHITECTURES[arch]
        self.conv1, self.maxpool = _stem(stem, architecture.width)
        self.bn1 = nn.BatchNorm2d(architecture.width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1, self.layer2, self.layer3, self.layer4 = _layers(architecture)
        self.texture_size = 2 * architecture.channels[1] * architecture.block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(architecture.features, num_classes)
        self._initialize()

    def features(self, x: Tensor) -> Tensor:
        """Compute the input of the head: (B, 3, H, W) normalized images -> (B, features)."""
        return self._late(self._early(x))

    def features_and_texture(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the input of the head, and the texture: (B, 3, H, W) -> (B, features), (B, texture_size).

        The texture is the logarithm of each channel's mean and standard deviation at the output of layer2.
        """
        x = self._early(x)
        deviations, means = torch.std_mean(x.float(), (2, 3), correction=0)
        return self._late(x), torch.cat((means, deviations), 1).clamp(min=1e-4).log()

    def _early(self, x: Tensor) -> Tensor:
        return self.layer2(self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x))))))

    def _late(self, x: Tensor) -> Tensor:
        return self.avgpool(self.layer4(self.layer3(x))).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits: (B, 3, H, W) normalized images -> (B, classes)."""
        return self.fc(self.features(x))

    def group(self, name: Group) -> tuple[nn.Module, ...]:
        """Return the modules of a group."""
        return (self.conv1, self.bn1) if name == "stem" else (self.get_submodule(name),)

    def train(self, mode: bool = True) -> "ResNet":
        """Switch between training and evaluation mode; BatchNorm layers of frozen groups always stay in evaluation."""
        super().train(mode)
        for name in self.frozen:
            for module in self.group(name):
                module.eval()
        return self

    def _initialize(self) -> None:
        """Initialize convolutions as He et al. 2015, and blocks as their shortcut (Goyal et al. 2017, section 5.1)."""
        if self.conv1.weight.is_meta:
            return  # has no values, and torch would import its compiler for it
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, ResidualBlock):
                nn.init.zeros_(module.last_norm.weight)


def _stem(stem: str, width: int) -> tuple[nn.Conv2d, nn.Module]:
    if stem == "cifar":
        return nn.Conv2d(3, width, 3, stride=1, padding=1, bias=False), nn.Identity()
    return nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False), nn.MaxPool2d(3, stride=2, padding=1)


def _layers(architecture: Architecture) -> list[nn.Sequential]:
    """Build layer1 to layer4; all but the first begin with a stride of 2."""
    layers, inputs = [], architecture.width
    for number, (blocks, channels) in enumerate(zip(architecture.layers, architecture.channels, strict=True)):
        first = ResidualBlock(architecture.block, inputs, channels, stride=2 if number else 1)
        inputs = channels * architecture.block.expansion
        rest = (ResidualBlock(architecture.block, inputs, channels, stride=1) for _ in range(blocks - 1))
        layers.append(nn.Sequential(first, *rest))
    return layers
