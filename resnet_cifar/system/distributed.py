"""Processes that train one run together, each on a device of its own; `torchrun` starts them.

All of them take the same steps in the same order, so that each call here is made by every one. Alone, they do nothing.
"""

import ctypes
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h

_PATIENCE = timedelta(hours=2)  # one of them may have a data set to download first


class World:
    """The processes of a run, as one of them sees it."""

    def __init__(self, rank: int, size: int, hosts: dist.ProcessGroup | None = None) -> None:
        self.rank = rank
        self.size = size
        self._hosts = hosts
        """A group for what concerns the processes and not their devices, so that no device is waited for."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def part(self, total: int) -> slice:
        """The process's share of `total` things that stand in a row; the shares differ by one at most."""
        return slice(total * self.rank // self.size, total * (self.rank + 1) // self.size)

    def batches(self, total: int, batch: int) -> Iterator[tuple[slice, int]]:
        """The process's batches of `total` things, and how many all are done with after each.

        Everyone gets equally many, of which the last may be empty.
        """
        for start in range(0, total, batch * self.size):
            first = min(total, start + batch * self.rank)
            yield slice(first, min(total, first + batch)), min(total, start + batch * self.size)

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module, with gradients that are averaged over all processes on their way back."""
        if self.size == 1:
            return module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # its new name is not known to older versions
            return DistributedDataParallel(module, broadcast_buffers=False)

    def add_up(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor /= self.size

    def largest(self, value: int) -> int:
        """The largest of the values that the processes come with."""
        if self.size == 1:
            return value
        box = torch.tensor(value)
        dist.all_reduce(box, dist.ReduceOp.MAX, group=self._hosts)
        return int(box)

    def told(self, value: T) -> T:
        """What the first process comes with."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, group=self._hosts)
        return box[0]


ALONE = World(0, 1)


def unsynchronised(module: nn.Module) -> Any:
    """What to enter for a backward pass after which another one of the same step follows."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """The processes that `torchrun` started, once all are there; this one alone where it did not start it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    _die_with_parent()
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    hosts = dist.new_group(backend="gloo", timeout=_PATIENCE)
    yield World(dist.get_rank(), size, hosts if isinstance(hosts, dist.ProcessGroup) else None)
    dist.destroy_process_group()  # not after an error: it would wait for the others, who wait for this one


def _die_with_parent() -> None:
    """Be killed when `torchrun` is, which may hold the run's locks: nobody is to train on without them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
