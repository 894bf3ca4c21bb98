"""A CUDA device without a GPU: torch's fake tensors, and stand-ins for what would ask the driver.

Fake tensors have a device, a shape and no values. An operation on two devices raises FakeTensorDeviceMismatchError. A
wait for the device (`.item()`, `.tolist()`, `bool(tensor)`) raises DataDependentOutputException, unless the function
that waits is in `may_wait`; then it gets ones, and is noted.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from resnet_cifar.engine import compile as compiling
from resnet_cifar.engine import optimizer

CUDA = torch.device("cuda", 0)
_Generator, _item, _int = torch.Generator, Tensor.item, Tensor.__int__


class Waits:
    """Waits for the device, by the qualified name of the function that waits."""

    def __init__(self, may_wait: set[str]) -> None:
        self.may_wait = may_wait
        self.seen: list[str] = []

    def tolist(self, tensor: Tensor) -> Any:
        """Stand in for `Tensor.tolist`."""
        waiting = sys._getframe(2).f_code.co_qualname  # beyond the patched method
        if waiting not in self.may_wait:
            return _item(tensor.flatten()[0])  # raises
        self.seen.append(waiting)
        values: Any = 1.0
        for size in reversed(tensor.shape):
            values = [values] * size
        return values


def _backward(loss: Tensor, *_: Any, **__: Any) -> None:
    """Give each parameter that the loss depends on a gradient of its shape; the real engine would want streams."""
    seen: set[Any] = set()
    left: list[Any] = [loss.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        parameter = getattr(node, "variable", None)
        if parameter is not None:
            gradient = torch.empty_like(parameter)
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        left += [following for following, _ in node.next_functions]


def _apply(module: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
    """Make new parameters, because fake ones cannot take over another's storage."""
    for child in module.children():
        _apply(child, change)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(change(parameter.detach()), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = change(buffer)
    return module


def _deepcopy(tensor: Tensor, _: Any) -> Tensor:
    """Copy a tensor only; its own method would copy the mode that it belongs to as well."""
    copied = tensor.detach().clone()
    return nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied


class _Event:
    def record(self) -> None: ...

    def synchronize(self) -> None: ...


def _unfused(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, momentum=0.9, nesterov=True, foreach=True)


@contextmanager
def fake_cuda(may_wait: set[str]) -> Iterator[Waits]:
    """While entered, `CUDA` is a device where tensors can be made, moved and computed with."""
    waits = Waits(may_wait)
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode():
        for kind in (Tensor, FakeTensor):
            patch.setattr(kind, "tolist", lambda tensor: waits.tolist(tensor))
        patch.setattr(Tensor, "item", lambda tensor: waits.tolist(tensor) if tensor.is_cuda else 1)
        patch.setattr(Tensor, "__int__", lambda tensor: 1 if not tensor.is_cuda else _int(tensor))
        patch.setattr(Tensor, "__deepcopy__", _deepcopy)
        patch.setattr(nn.Parameter, "__deepcopy__", _deepcopy)
        patch.setattr(Tensor, "backward", _backward)
        patch.setattr(nn.Module, "_apply", _apply)
        patch.setattr(torch, "Generator", lambda device="cpu": _Generator())  # draws on either device come from it
        patch.setattr(torch.cuda, "Event", _Event)
        for name in ("synchronize", "empty_cache"):
            patch.setattr(torch.cuda, name, lambda *_: None)
        patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
        patch.setattr(compiling, "_pays", lambda _: False)
        patch.setitem(optimizer.OPTIMIZERS, "sgd", _unfused)
        yield waits
