"""Optimizers by name: how each is built from a stage, and how every tensor of its state is saved and restored."""

from collections.abc import Callable
from inspect import unwrap
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from resnet_cifar.errors import UserError
from resnet_cifar.model.freezing import parameter_groups
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.config import Recipe, Stage

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def eager(kind: type[Kind]) -> type[Kind]:
    """Return a kind of optimizer without the wrappers that keep torch's compiler out of its methods.

    They import the compiler to do so, which takes a second of every run, and nothing here compiles an optimizer.
    """
    methods = {name: unwrap(getattr(kind, name)) for name in ("add_param_group", "zero_grad")}
    return cast(type[Kind], type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(unwrap(kind.step))}))


_SGD, _AdamW = eager(torch.optim.SGD), eager(torch.optim.AdamW)


def _sgd(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return _SGD(groups, momentum=0.9, nesterov=True, fused=True)


def _adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) with its usual betas; its learning rates are about a hundredth of SGD's."""
    return _AdamW(groups, betas=(0.9, 0.999), fused=True)


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {"sgd": _sgd, "adamw": _adamw}


def check_optimizers(recipe: Recipe) -> None:
    """Raise UserError if a stage names an optimizer that does not exist.

    A recipe cannot check this itself: it knows no torch, and the names belong beside the code.
    """
    for stage in recipe.stages:
        if stage.optimizer not in OPTIMIZERS:
            raise UserError(f"{stage.name}: optimizer is {stage.optimizer!r}; it must be {' or '.join(OPTIMIZERS)}.")


def build_optimizer(model: ResNet, stage: Stage) -> torch.optim.Optimizer:
    """Build a stage's optimizer over its trainable parameters."""
    return OPTIMIZERS[stage.optimizer](parameter_groups(model, stage))


def scale_learning_rates(optimizer: torch.optim.Optimizer, part: float) -> None:
    """Set each group's learning rate to `part` of its peak, so that all groups keep their ratios."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * part


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: ResNet) -> dict[str, Tensor]:
    """All tensors of the optimizer's state, the live ones, as `<key>/<parameter>`."""
    return {
        f"{key}/{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None  # SGD's momentum before its first step
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, model: ResNet, tensors: dict[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` returned."""
    parameters = dict(model.named_parameters())
    for place, value in tensors.items():
        key, _, name = place.partition("/")
        parameter = parameters[name]
        # Laid out in memory like the parameter, because the fused step requires it; step counters are single numbers.
        like = parameter if value.shape == parameter.shape else torch.empty_like(value, device=parameter.device)
        optimizer.state[parameter][key] = torch.empty_like(like, dtype=value.dtype).copy_(value)
