"""None of these: a score by which an image that shows none of a model's classes is noticed.

One score is of the logits alone, one of the features, one of the features and the texture. The best one on val is
stored with its threshold in `unknown.safetensors`, beside the weights that it belongs to. A folder without the file, or
with one of other weights, has no such score.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.errors import UserError
from resnet_cifar.model.checkpoint import weights_id
from resnet_cifar.model.tensors import read_tensors, write_tensors

UNKNOWN = "unknown.safetensors"
LARGEST = 3_000_000
"""Most bytes of the file: it is published with the weights."""

Score = Literal["gen", "knn", "both"]

_GAMMA, _SHARE = 0.1, 0.1  # of GEN: exponent, and share of the classes that are looked at
_WEIGHTS = (2.0, 1.0)  # of similarity and texture; against the surrogates, 1 to 1 and 3 to 1 did worse on val
_STEPS = 127  # of int8: the bank's features lie between 0 and their largest value
_EMPTY = torch.zeros(0)
_NEAR = (
    "the cosine similarity of the input\nof the last layer to the k-th nearest of some train images (Sun et al. 2022)"
)
_TEXTURE = (
    "minus\nthe Mahalanobis distance of its texture (means and standard deviations of layer2's channels) from\n"
    "that of train images (after Lee et al. 2018)"
)
_EXPLANATIONS = {
    "gen": "the generalized entropy of the logits, over the likeliest tenth of the classes (GEN, Liu et al. 2023).",
    "knn": f"{_NEAR}.",
    "both": f"the sum of two, each in its standard deviations from its mean on val: twice {_NEAR}, and {_TEXTURE}.",
}


class Outputs(NamedTuple):
    """What a network computes of images, float32."""

    features: Tensor
    """(N, features): inputs of the head."""
    texture: Tensor
    """(N, T): see `ResNet.features_and_texture`."""
    logits: Tensor
    """(N, classes)."""


@dataclass(frozen=True)
class Unknown:
    """A score with its threshold; higher is more known. Tensors that it does not need are empty."""

    score: Score
    threshold: float
    bank: Tensor
    """(N, features) int8: directions of train images' features."""
    k: int
    centre: Tensor = _EMPTY
    """(T,) float32: mean texture of train images."""
    whitening: Tensor = _EMPTY
    """(T, T) float16: turns the difference of a texture from the centre into one of unit covariance."""
    scale: Tensor = _EMPTY
    """(2, 2) float32: mean and standard deviation on val of the similarity, and of minus the texture's distance."""

    @property
    def explanation(self) -> str:
        """What the score is, for the model card."""
        return _EXPLANATIONS[self.score]

    def scores(self, of: Outputs) -> Tensor:
        """Return the (N,) scores of images."""
        if self.score == "gen":
            return gen(of.logits)
        if self.score == "knn":
            return self._near(of)
        means, deviations = self.scale.to(of.features.device).T
        return ((self.parts(of) - means) / deviations) @ means.new_tensor(_WEIGHTS)

    def parts(self, of: Outputs) -> Tensor:
        """Return the (N, 2) similarity, and minus the distance of the texture."""
        device = of.texture.device
        distance = ((of.texture - self.centre.to(device)) @ self.whitening.float().to(device)).norm(dim=1)
        return torch.stack((self._near(of), -distance), 1)

    def known(self, of: Outputs) -> list[bool]:
        """Return for each image whether it shows one of the classes, as far as the score tells."""
        return (self.scores(of) >= self.threshold).tolist()

    def _near(self, of: Outputs) -> Tensor:
        return similarity(of.features, self._directions.to(of.features.device), self.k)

    @cached_property
    def _directions(self) -> Tensor:
        return F.normalize(self.bank.float())


def gen(logits: Tensor) -> Tensor:
    """Return the negative generalized entropy of (B, classes) logits, over the likeliest tenth of the classes.

    Liu et al. 2023, "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection", section 3.
    """
    count = math.ceil(_SHARE * logits.shape[1])
    p = logits.double().softmax(1).topk(count).values
    return -((p * (1 - p)).clamp(min=0) ** _GAMMA).sum(1).float()


def similarity(features: Tensor, directions: Tensor, k: int) -> Tensor:
    """Return the cosine of (B, features) to the k-th nearest of (N, features) directions of length 1.

    Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors", section 3.
    """
    return (F.normalize(features.float()) @ directions.T).topk(min(k, len(directions))).values[:, -1]


def as_bank(features: Tensor) -> Tensor:
    """Store (N, features) features, none below 0, as int8: only their directions count."""
    directions = F.normalize(features.float())
    return (directions * (_STEPS / directions.amax(1, keepdim=True).clamp(min=1e-9))).round().to(torch.int8)


def write_unknown(folder: Path, unknown: Unknown) -> None:
    """Write `unknown.safetensors` for the weights in the folder. Raises UserError if it cannot be written."""
    header = {"score": unknown.score, "k": str(unknown.k), "weights": weights_id(folder)}
    tensors = {name: getattr(unknown, name) for name in _TENSORS}
    write_tensors(
        folder / UNKNOWN, tensors | {"threshold": torch.tensor(unknown.threshold, dtype=torch.double)}, header
    )


def read_unknown(folder: Path) -> Unknown | None:
    """Read a folder's `unknown.safetensors`; None if it is missing, damaged or of other weights."""
    try:
        tensors, header = read_tensors(folder / UNKNOWN)
        if header["weights"] != weights_id(folder) or header["score"] not in _EXPLANATIONS:
            return None
        score, k = cast(Score, header["score"]), int(header["k"])
        stored = {name: tensors[name] for name in _TENSORS}
        if score != "gen" and (stored["bank"].ndim != 2 or not 1 <= k <= len(stored["bank"])):
            return None
        return Unknown(score, tensors["threshold"].item(), k=k, **stored)
    except (UserError, KeyError, ValueError, RuntimeError):
        return None


_TENSORS = ("bank", "centre", "whitening", "scale")
