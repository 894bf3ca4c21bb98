"""Exponential moving average of a network's weights, BatchNorm statistics included."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Ema:
    """EMA of a network, kept as a second network.

    The decay grows as (1 + n) / (10 + n) up to its value; otherwise a short stage would average in its first, random
    weights.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self._average = AveragedModel(net)
        self._decay = decay
        pairs = list(zip(self.module.state_dict().values(), net.state_dict().values(), strict=True))
        self._floats = _columns([pair for pair in pairs if pair[0].is_floating_point()])
        self._counters = _columns([pair for pair in pairs if not pair[0].is_floating_point()])

    @property
    def module(self) -> nn.Module:
        """The averaged network."""
        return self._average.module

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the network. AveragedModel's own update would wait for the device."""
        count = int(self._average.n_averaged)  # lives on the CPU
        decay = min(self._decay, (1 + count) / (10 + count)) if count else 0.0
        get_ema_multi_avg_fn(decay)(*self._floats, count)  # type: ignore[no-untyped-call]
        if self._counters[0]:  # of BatchNorm; the head has none
            torch._foreach_copy_(*self._counters)
        self._average.n_averaged += 1

    def state_dict(self) -> dict[str, Any]:
        """Live tensors for `load_state_dict`."""
        return self._average.state_dict()

    def load_state_dict(self, tensors: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._average.load_state_dict(tensors)


def _columns(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    return [first for first, _ in pairs], [second for _, second in pairs]
