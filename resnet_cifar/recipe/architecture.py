"""Network architectures by name: the single table that network, cost and checkpoint read."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A residual block: a sequence of convolutions and a shortcut around them (He et al. 2016, figure 5)."""

    kernels: tuple[int, ...]
    """Kernel size of each convolution."""
    strided: int
    """Index of the convolution that has the stride in the first block of a layer."""
    expansion: int
    """Channels of the last convolution, as a multiple of the others'."""


BASIC = Block(kernels=(3, 3), strided=0, expansion=1)
BOTTLENECK = Block(kernels=(1, 3, 1), strided=1, expansion=4)
"""The stride is in the 3x3 convolution, as in torchvision (ResNet v1.5)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A residual network with torchvision's structure (He et al. 2016, table 1)."""

    block: Block = BASIC
    layers: tuple[int, int, int, int]
    """Number of blocks in layer1 to layer4."""
    width: int = 64
    """Channels of the stem and of layer1; each later layer has twice as many as the one before."""
    known_elsewhere: bool = True
    """Whether torchvision, timm and transformers know it by the same name."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels inside the blocks of layer1 to layer4, before the expansion."""
        return tuple(self.width * 2**number for number in range(len(self.layers)))

    @property
    def features(self) -> int:
        """Number of features that the head receives."""
        return self.channels[-1] * self.block.expansion


ARCHITECTURES = {
    "resnet18": Architecture(layers=(2, 2, 2, 2)),
    "resnet34": Architecture(layers=(3, 4, 6, 3)),
    "resnet50": Architecture(block=BOTTLENECK, layers=(3, 4, 6, 3)),
    "tiny": Architecture(layers=(1, 1, 1, 1), width=8, known_elsewhere=False),
}
"""`tiny` trains in seconds and learns little: it is for tests and for trying out the tool."""
