"""None of these: a score by which an image that shows none of a model's classes is noticed.

One score is of the logits alone, one of the features, one of both. The best one on val is stored with its threshold in
`unknown.safetensors`, beside the weights that it belongs to. A folder without the file, or with one of other weights,
has no such score.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.errors import UserError
from resnet_cifar.model.checkpoint import read_tensors, weights_id, write_tensors

UNKNOWN = "unknown.safetensors"
LARGEST = 3_000_000
"""Most bytes of the file: it is published with the weights."""

Score = Literal["gen", "knn", "both"]

_GAMMA, _SHARE = 0.1, 0.1  # of GEN: exponent, and share of the classes that are looked at
_STEPS = 127  # of int8: the bank's features lie between 0 and their largest value
_ENERGY = "the logits' log-sum-exp (energy, Liu et al. 2020)"
_NEAR = (
    "the cosine similarity of the input\nof the last layer to the k-th nearest of some train images (Sun et al. 2022)"
)
_EXPLANATIONS = {
    "gen": "the generalized entropy of the logits, over the likeliest tenth of the classes (GEN, Liu et al. 2023).",
    "knn": f"{_NEAR}.",
    "both": f"the lower of two, each in its standard deviations from its mean on val: {_NEAR}, and\n{_ENERGY}.",
}


@dataclass(frozen=True)
class Unknown:
    """A score with its threshold; higher is more known."""

    score: Score
    threshold: float
    bank: Tensor
    """(N, features) int8: directions of train images' features; empty for "gen"."""
    k: int
    scale: Tensor
    """(2, 2) float32: mean and standard deviation on val of the similarity, and of the energy; for "both"."""

    @property
    def explanation(self) -> str:
        """What the score is, for the model card."""
        return _EXPLANATIONS[self.score]

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return (B,) scores of the (B, features) inputs of the head and their (B, classes) logits."""
        if self.score == "gen":
            return gen(logits)
        near = similarity(features, self._directions.to(features.device), self.k)
        if self.score == "knn":
            return near
        means, deviations = self.scale.to(features.device).T
        return ((torch.stack((near, logits.float().logsumexp(1)), 1) - means) / deviations).amin(1)

    def known(self, features: Tensor, logits: Tensor) -> list[bool]:
        """Return for each image whether it shows one of the classes, as far as the score tells."""
        return (self.scores(features, logits) >= self.threshold).tolist()

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
    threshold = torch.tensor(unknown.threshold, dtype=torch.double)
    tensors = {"bank": unknown.bank, "threshold": threshold, "scale": unknown.scale}
    write_tensors(folder / UNKNOWN, tensors, header)


def read_unknown(folder: Path) -> Unknown | None:
    """Read a folder's `unknown.safetensors`; None if it is missing, damaged or of other weights."""
    try:
        tensors, header = read_tensors(folder / UNKNOWN)
        if header["weights"] != weights_id(folder) or header["score"] not in _EXPLANATIONS:
            return None
        score = cast(Score, header["score"])
        return Unknown(score, tensors["threshold"].item(), tensors["bank"], int(header["k"]), tensors["scale"])
    except (UserError, KeyError, ValueError, RuntimeError):
        return None
