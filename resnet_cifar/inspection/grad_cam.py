"""Grad-CAM: which parts of an image speak for a class. Parameters, their gradients and BatchNorm stay as they are.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (2017),
section 3.
"""

from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from resnet_cifar.data.images import centre_square
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.config import Group

GROUPS: tuple[Group, ...] = get_args(Group)[:-1]
"""Groups that have a spatial output: all but fc."""

_COLOURS = ((10, 20, 90), (70, 40, 170), (215, 60, 110), (255, 150, 40), (255, 245, 140))  # from no heat to the most
_OPACITY = (0.35, 0.65)  # of the colours where there is no heat, and where it is highest


def grad_cam(model: ResNet, inputs: Tensor, label: int, group: Group = "layer4") -> Tensor:
    """Compute heat maps of a class at the output of a group: (B, 3, S, S) -> (B, S, S), each with a maximum of 1.

    A map is zero everywhere if nothing in the image speaks for the class. Gradients are computed only with respect to
    the output of the group. Raises ValueError if the group has no spatial output.
    """
    if group not in GROUPS:
        raise ValueError(f"group is {group!r}; it must be one of {', '.join(GROUPS)}")
    parts, cut = _parts(model), GROUPS.index(group) + 1
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(False), torch.no_grad():
            activations = parts[:cut](inputs)
        with torch.inference_mode(False), torch.enable_grad():
            activations.requires_grad_()
            scores = model.fc(model.avgpool(parts[cut:](activations)).flatten(1))[:, label]
            (gradients,) = torch.autograd.grad(scores.sum(), activations)  # no other gradient is computed or kept
    finally:
        model.train(was_training)
    weights = gradients.mean((2, 3), keepdim=True)  # equation 1
    heat = (weights * activations.detach()).sum(1, keepdim=True).relu()  # equation 2
    heat = F.interpolate(heat, size=inputs.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    highest = heat.amax((1, 2), keepdim=True)
    return heat / highest.where(highest > 0, 1)


def explain(classifier: Classifier, image: Image.Image, label: str, group: Group = "layer4") -> Image.Image:
    """Draw over an image what speaks for the class named `label`."""
    number = classifier.config.labels.index(label)
    return overlay(image, grad_cam(classifier.model, classifier.inputs([image]), number, group)[0])


def overlay(image: Image.Image, heat: Tensor) -> Image.Image:
    """Draw (S, S) heat between 0 and 1 over the central square of an RGB image, at the image's own resolution."""
    edge = min(image.size)
    square = np.asarray(centre_square(image, edge), dtype=np.float32)
    smooth = F.interpolate(heat[None, None].float().cpu(), size=(edge, edge), mode="bilinear", align_corners=False)
    level = smooth[0, 0].clamp(0, 1).numpy()
    positions = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(level, positions, channel) for channel in zip(*_COLOURS, strict=True)], -1)
    opacity = np.interp(level, (0, 1), _OPACITY)[..., None]
    return Image.fromarray((square + opacity * (colours - square)).round().astype(np.uint8))


def _parts(model: ResNet) -> nn.Sequential:
    """Return the modules before the head, one for each of `GROUPS`; max-pooling comes after the stem's output."""
    stem = nn.Sequential(model.conv1, model.bn1, model.relu)
    return nn.Sequential(stem, nn.Sequential(model.maxpool, model.layer1), model.layer2, model.layer3, model.layer4)
