"""What learns in a stage, and how fast; what is frozen keeps its weights and its BatchNorm statistics."""

from typing import Any

from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.config import EVERYTHING, Group, Stage


def freeze_all_but(model: ResNet, trainable: tuple[Group, ...]) -> None:
    """Let the groups in `trainable` learn and no other; puts the model into training mode."""
    model.frozen = frozenset(EVERYTHING) - frozenset(trainable)
    for name in EVERYTHING:
        for module in model.group(name):
            module.requires_grad_(name in trainable)
    model.train()


def learning_rate(stage: Stage, group: Group) -> float:
    """The peak learning rate of a group: the head's, or the backbone's, less the further it is from the head."""
    if group == "fc":
        return stage.lr
    depth = EVERYTHING.index("layer4") - EVERYTHING.index(group)
    return (stage.backbone_lr or stage.lr) * stage.layer_decay**depth


def parameter_groups(model: ResNet, stage: Stage) -> list[dict[str, Any]]:
    """What an optimizer is given: by group and by whether weight decay applies (not to biases and norms).

    `peak_lr` beside each group's `lr` is what a schedule multiplies.
    """
    groups = []
    for name in stage.trainable:
        peak = learning_rate(stage, name)
        parameters = [parameter for module in model.group(name) for parameter in module.parameters()]
        for decay, chosen in (
            (stage.weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            groups.append({"params": chosen, "lr": peak, "peak_lr": peak, "weight_decay": decay})
    return groups
