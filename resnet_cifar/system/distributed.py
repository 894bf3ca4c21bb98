"""Processes that train one run together, each on its own device, started by `torchrun`.

Every method here that communicates must be called by all processes, in the same order. With one process none of them
does anything.
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

_TIMEOUT = timedelta(hours=2)  # rank 0 may have a data set to download first


class World:
    """The processes of a run, seen from one of them."""

    def __init__(self, rank: int, size: int, hosts: dist.ProcessGroup | None = None) -> None:
        self.rank = rank
        self.size = size
        self._hosts = hosts
        """Gloo group between the hosts: agreements through it do not wait for a GPU."""

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the process that writes and prints."""
        return self.rank == 0

    def shard(self, total: int) -> slice:
        """Part of this process of `total` items; the parts differ by one item at most."""
        return slice(total * self.rank // self.size, total * (self.rank + 1) // self.size)

    def batches(self, total: int, batch: int) -> Iterator[tuple[slice, int]]:
        """Yield this process's batches of `total` items, and how many items all processes have done after each.

        Every process gets the same number of batches, of which the last may be empty.
        """
        for start in range(0, total, batch * self.size):
            first = min(total, start + batch * self.rank)
            yield slice(first, min(total, first + batch)), min(total, start + batch * self.size)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Wrap the module so that its gradients are averaged over all processes in the backward pass."""
        if self.size == 1:
            return module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # its new name is not known to older versions
            return DistributedDataParallel(module, broadcast_buffers=False)

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes; returns it."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    @torch.no_grad()
    def all_reduce_mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor /= self.size

    def barrier(self) -> None:
        """Wait until every process has arrived here."""
        self.agree(0)

    def agree(self, *values: int) -> tuple[int, ...]:
        """Maximum of each value over all processes, so that all go on with the same."""
        if self.size == 1:
            return values
        box = torch.tensor(values)
        dist.all_reduce(box, dist.ReduceOp.MAX, group=self._hosts)
        return tuple(box.tolist())

    def broadcast(self, value: T) -> T:
        """Value of rank 0."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, group=self._hosts)
        return box[0]


ALONE = World(0, 1)


def without_all_reduce(module: nn.Module) -> Any:
    """Context for a backward pass that another one of the same step follows: gradients only accumulate."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the processes that `torchrun` started, or be `ALONE` without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    _die_with_parent()
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    hosts = dist.new_group(backend="gloo", timeout=_TIMEOUT)
    yield World(dist.get_rank(), size, hosts if isinstance(hosts, dist.ProcessGroup) else None)
    dist.destroy_process_group()  # not after an error: it would wait for the others, which wait for this one


def _die_with_parent() -> None:
    """Die with `torchrun`: it may hold the run's locks, and training must not go on without them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
