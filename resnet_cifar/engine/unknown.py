"""Chooses the score by which images of none of the classes are noticed, on val.

Val has no images of other things. Surrogates are made from it that keep the statistics of photographs in one respect
and lose what a class is recognized by, each in another way: a detector is then judged by more than one kind.
"""

import math
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
from resnet_cifar.model.unknown import LARGEST, Outputs, Unknown, as_bank
from resnet_cifar.system.device import Autocast
from resnet_cifar.system.distributed import ALONE, World

FLAGGED = 0.05
"""Most images of a model's classes that may count as unknown."""
NEIGHBOURS = 50
"""k in 50,000 train images (Sun et al. 2022, section 4); smaller in a part of them, so that the share is the same."""
_ALL = 50_000
_BANK = 5_000  # train images that make the bank, where the file has room for all, and the texture
_SPARE = 100_000  # bytes of the file beside bank and whitening
_SURROGATES = 200  # of each kind, at most
_CONFIDENT = 1.645  # standard deviations, of which a normal distribution has 5 % further out
_SHRINKAGE = 0.05  # of the texture's covariance towards a multiple of the identity, so that it can be inverted


def outputs(
    model: ResNet, split: Split, preprocess: Preprocess, autocast: Autocast, world: World = ALONE, phase: str = "test"
) -> Generator[Progress, None, Outputs]:
    """Compute features, texture and logits of a split."""
    source, sizes = Images(split, preprocess, model.stem), [model.fc.in_features, model.texture_size]
    source.classes = sum(sizes)  # a row of what `_Backbone` returns
    both = yield from predict(_Backbone(model), source, autocast, world, phase)
    features, texture = torch.split(both, sizes, 1)
    with torch.no_grad(), autocast():
        return Outputs(features, texture, model.fc(features).float())


class _Backbone(nn.Module):
    """A network without its head."""

    def __init__(self, model: ResNet) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, x: Tensor) -> Tensor:
        """Compute features and texture side by side: (B, 3, H, W) -> (B, features + T)."""
        return torch.cat(self.model.features_and_texture(x), 1)


def fit_unknown(
    model: ResNet,
    train: Split,
    val: Split,
    of_val: Outputs,
    preprocess: Preprocess,
    autocast: Autocast,
    world: World = ALONE,
) -> Generator[Progress, None, Unknown | None]:
    """Return the best of three scores on val, with its `threshold`; None without val.

    train: balanced wherever it is cut, as `load` returns it; its first images make bank and texture. of_val: outputs of
    `val`.
    """
    if not len(val) or not len(train):
        return None
    room = LARGEST - _SPARE - 2 * model.texture_size**2
    count = max(1, min(len(train), room // model.fc.in_features, _BANK))
    part = train.take(torch.arange(min(len(train), _BANK), device=train.labels.device))
    of_train = yield from outputs(model, part, preprocess, autocast, world)
    k = max(1, round(NEIGHBOURS * count / _ALL))
    near = Unknown("knn", 0.0, as_bank(of_train.features[:count].cpu()), k)
    centre, whitening = _whitening(of_train.texture.cpu())
    both = replace(near, score="both", centre=centre, whitening=whitening)
    parts = both.parts(of_val)
    scale = torch.stack((parts.mean(0), parts.std(0, correction=0).clamp(min=1e-6)), 1).cpu()
    scores = [replace(near, score="gen", bank=near.bank[:0]), near, replace(both, scale=scale)]
    few = val.images[:_SURROGATES]
    others = torch.cat([make(few) for make in surrogates().values()])
    split = Split(others, val.labels.new_zeros(len(others)), val.spec)
    of_others = yield from outputs(model, split, preprocess, autocast, world)
    best = max(scores, key=lambda score: mean_auroc(score.scores(of_val), score.scores(of_others), len(few)))
    return replace(best, threshold=threshold(best.scores(of_val)))


def _whitening(texture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of (N, T) textures, and a (T, T) float16 matrix that makes their covariance the identity."""
    centre = texture.mean(0)
    away = (texture - centre).double()
    covariance = away.T @ away / len(away)
    spread = covariance.diagonal().mean().clamp(min=1e-6)
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * spread * torch.eye(len(covariance), dtype=torch.double)
    values, vectors = torch.linalg.eigh(covariance)
    return centre, (vectors / values.sqrt()).half()


def threshold(scores: Tensor) -> float:
    """Return the highest threshold below which at most 5 % of known images lie, with a confidence of 95 %.

    scores: (N,) of known images, of which fewer than 5 % lie below it: their number in N images is binomial, and close
    to normal.
    """
    count = len(scores)
    below = FLAGGED * count - _CONFIDENT * math.sqrt(FLAGGED * (1 - FLAGGED) * count)
    return scores.sort().values[max(0, int(below))].item()


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
