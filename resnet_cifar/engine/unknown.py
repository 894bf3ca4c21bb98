"""Chooses the score by which images of none of the classes are noticed, on val.

Val has no images of other things. Surrogates are made from it that keep the statistics of photographs in one respect
and lose what a class is recognized by, each in another way: a detector is then judged by more than one kind.
"""

from collections.abc import Callable, Generator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_cifar.data.batches import Images
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.engine.evaluate import predict
from resnet_cifar.events import Progress
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.model.unknown import Unknown, as_bank
from resnet_cifar.system.device import Autocast
from resnet_cifar.system.distributed import ALONE, World

KEPT = 0.95
"""Share of val that counts as known."""
BANK = 2_500_000
"""Most bytes of the bank: 5,000 images with 512 features."""
NEIGHBOURS = 50
"""k in 50,000 train images (Sun et al. 2022, section 4); smaller in a part of them, so that the share is the same."""
_ALL = 50_000
_SURROGATES = 200  # of each kind, at most

Outputs = tuple[Tensor, Tensor]
"""Features (N, features) and logits (N, classes), float32."""


def outputs(
    model: ResNet, split: Split, preprocess: Preprocess, autocast: Autocast, world: World = ALONE, phase: str = "test"
) -> Generator[Progress, None, Outputs]:
    """Compute the inputs of the head, and the logits, of a split."""
    source = Images(split, preprocess, model.stem)
    source.classes = model.fc.in_features  # a row of what `_Backbone` returns
    features = yield from predict(_Backbone(model), source, autocast, world, phase)
    with torch.no_grad(), autocast():
        return features, model.fc(features).float()


class _Backbone(nn.Module):
    """A network without its head."""

    def __init__(self, model: ResNet) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, x: Tensor) -> Tensor:
        """Compute features: (B, 3, H, W) -> (B, features)."""
        return self.model.features(x)


def fit_unknown(
    model: ResNet,
    train: Split,
    val: Split,
    of_val: Outputs,
    preprocess: Preprocess,
    autocast: Autocast,
    world: World = ALONE,
) -> Generator[Progress, None, Unknown | None]:
    """Return the best of three scores on val, with the threshold that keeps 95 % of it; None without val.

    train: balanced wherever it is cut, as `load` returns it; its first images make the bank. of_val: outputs of `val`.
    """
    if not len(val) or not len(train):
        return None
    features, _ = of_val
    count = min(len(train), BANK // features.shape[1])
    part = train.take(torch.arange(count, device=train.labels.device))
    bank, _ = yield from outputs(model, part, preprocess, autocast, world)
    k = max(1, round(NEIGHBOURS * count / _ALL))
    near = Unknown("knn", 0.0, as_bank(bank.cpu()), k, torch.zeros(2, 2))
    parts = torch.stack((near.scores(*of_val), of_val[1].logsumexp(1)), 1)
    scale = torch.stack((parts.mean(0), parts.std(0, correction=0).clamp(min=1e-6)), 1).cpu()
    scores = [replace(near, score="gen", bank=near.bank[:0]), near, replace(near, score="both", scale=scale)]
    few = val.images[:_SURROGATES]
    others = torch.cat([make(few) for make in surrogates().values()])
    split = Split(others, val.labels.new_zeros(len(others)), val.spec)
    of_others = yield from outputs(model, split, preprocess, autocast, world)
    best = max(scores, key=lambda score: mean_auroc(score.scores(*of_val), score.scores(*of_others), len(few)))
    return replace(best, threshold=threshold(best.scores(*of_val)))


def threshold(scores: Tensor) -> float:
    """Return the highest score that at least 95 % of `scores` reach."""
    return scores.sort().values[int((1 - KEPT) * len(scores) + 1e-9)].item()


def mean_auroc(known: Tensor, others: Tensor, each: int) -> float:
    """Return the mean AUROC of `known` against each kind of `others`, of which `each` follow one another."""
    areas = [auroc(known, kind) for kind in torch.split(others, each)]
    return sum(areas) / len(areas)


def auroc(known: Tensor, others: Tensor) -> float:
    """Return the probability that a known image has a higher score than another one; ties count half."""
    ordered = others.sort().values
    below, upto = (torch.searchsorted(ordered, known.contiguous(), right=right) for right in (False, True))
    return ((below + upto).double().mean() / (2 * len(others))).item()


def surrogates() -> dict[str, Callable[[Tensor], Tensor]]:
    """Return what makes each kind of surrogate from (N, 3, side, side) uint8 images; the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return {
        "patches": lambda images: _shuffled(images, generator),  # parts without a shape
        "noise": lambda images: _noisy(images, generator),
        "blend": lambda images: _blended(images, generator),  # several things at once
        "texture": lambda images: _scrambled(images, generator),  # the spectrum without any place
        "colours": _flat,  # no detail
        "drawing": _outlined,  # edges without surfaces
    }


def _bytes(images: Tensor) -> Tensor:
    return images.round().clamp(0, 255).to(torch.uint8)


def _shuffled(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shuffle the sixteen patches of each image."""
    count, channels, side, _ = images.shape
    patch = side // 4
    patches = images.unfold(2, patch, patch).unfold(3, patch, patch).reshape(count, channels, 16, patch, patch)
    order = torch.rand(count, 16, generator=generator).argsort(1).to(images.device)
    patches = patches.gather(2, order[:, None, :, None, None].expand_as(patches)).reshape(
        count, channels, 4, 4, patch, patch
    )
    return patches.permute(0, 1, 2, 4, 3, 5).reshape(count, channels, 4 * patch, 4 * patch)


def _noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return _bytes(images.float() + 96 * noise)


def _blended(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mix each image with two others."""
    layers = [images[torch.randperm(len(images), generator=generator).to(images.device)].float() for _ in range(2)]
    return _bytes((images.float() + layers[0] + layers[1]) / 3)


def _scrambled(images: Tensor, generator: torch.Generator) -> Tensor:
    """Replace the phases of each image's spectrum by those of noise."""
    side = images.shape[-1]
    noise = torch.fft.rfft2(torch.randn(len(images), 1, side, side, generator=generator).to(images.device))
    turn = noise / noise.abs().clamp(min=1e-9)
    turn[..., 0, 0] = 1  # keeps the mean colour
    return _bytes(torch.fft.irfft2(torch.fft.rfft2(images.float()) * turn, s=(side, side)))


def _flat(images: Tensor) -> Tensor:
    """Keep four colours of each image, blurred into each other."""
    corners = F.adaptive_avg_pool2d(images.float(), 2)
    return _bytes(F.interpolate(corners, size=images.shape[-2:], mode="bilinear"))


def _outlined(images: Tensor) -> Tensor:
    """Draw the edges of each image (Sobel), black on white."""
    gray = F.pad(images.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=images.device)[None, None]
    edges = (F.conv2d(gray, kernel) ** 2 + F.conv2d(gray, kernel.mT) ** 2).sqrt()
    return _bytes(255 - edges).expand(-1, 3, -1, -1)
