"""Architectures by name: the one table that network, cost and checkpoint read."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A residual block: convolutions in a row and a shortcut around them (He et al. 2016, figure 5)."""

    kernels: tuple[int, ...]
    """Kernel size of each convolution."""
    strided: int
    """Index of the convolution that has the stride of a layer's first block."""
    expansion: int
    """Channels of the last convolution, relative to the others'."""


BASIC = Block(kernels=(3, 3), strided=0, expansion=1)
BOTTLENECK = Block(kernels=(1, 3, 1), strided=1, expansion=4)
"""With the stride in the 3x3 convolution, as in torchvision (ResNet v1.5)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A residual network of torchvision's kind (He et al. 2016, table 1)."""

    block: Block = BASIC
    layers: tuple[int, int, int, int]
    """Blocks of layer1 to layer4."""
    width: int = 64
    """Channels of the stem and of layer1; each layer after it has twice as many."""
    known_elsewhere: bool = True
    """Whether torchvision, timm and transformers build it by the same name."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels within the blocks of layer1 to layer4."""
        return tuple(self.width * 2**number for number in range(len(self.layers)))

    @property
    def features(self) -> int:
        """Channels that the head sees."""
        return self.channels[-1] * self.block.expansion


ARCHITECTURES = {
    "resnet18": Architecture(layers=(2, 2, 2, 2)),
    "resnet34": Architecture(layers=(3, 4, 6, 3)),
    "resnet50": Architecture(block=BOTTLENECK, layers=(3, 4, 6, 3)),
    "tiny": Architecture(layers=(1, 1, 1, 1), width=8, known_elsewhere=False),
}
"""`tiny` learns little, in seconds: it is for tests and for trying out the tool."""
