"""Trainable groups of a stage and their learning rates; frozen groups keep weights and BatchNorm statistics."""

from typing import Any

from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.config import EVERYTHING, Group, Stage


def freeze_all_but(model: ResNet, trainable: tuple[Group, ...]) -> None:
    """Make the groups in `trainable` trainable and freeze all others; puts the model into training mode."""
    model.frozen = frozenset(EVERYTHING) - frozenset(trainable)
    for name in EVERYTHING:
        for module in model.group(name):
            module.requires_grad_(name in trainable)
    model.train()  # BatchNorm updates its statistics in training mode even without gradients; ResNet.train prevents it


def learning_rate(stage: Stage, group: Group) -> float:
    """Return a group's peak learning rate. In the backbone it decays with the distance from layer4."""
    if group == "fc":
        return stage.lr
    depth = EVERYTHING.index("layer4") - EVERYTHING.index(group)
    return (stage.backbone_lr or stage.lr) * stage.layer_decay**depth


def parameter_groups(model: ResNet, stage: Stage) -> list[dict[str, Any]]:
    """Build an optimizer's parameter groups: two for each trainable group, with and without weight decay.

    Biases and BatchNorm have no weight decay. The schedule multiplies `peak_lr`, which is stored beside each `lr`.
    """
    groups = []
    for name in stage.trainable:
        peak = learning_rate(stage, name)
        parameters = [parameter for module in model.group(name) for parameter in module.parameters()]
        for decay, chosen in (
            (stage.weight_decay, [p for p in parameters if p.ndim > 1]),  # convolutions and the head's weights
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            groups.append({"params": chosen, "lr": peak, "peak_lr": peak, "weight_decay": decay})
    return groups
