"""Grad-CAM against a reference with hooks, and where its heat lies."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from resnet_cifar.inspection.grad_cam import GROUPS, explain, grad_cam, overlay
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.model.resnet import ResNet
from tests.builders import checkpoint


def network(stem: str, classes: int = 5) -> ResNet:
    """A network whose blocks do something and whose BatchNorm statistics are not the initial ones."""
    torch.manual_seed(0)
    model = ResNet("tiny", stem, classes)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def reference(model: ResNet, inputs: torch.Tensor, label: int, group: str) -> torch.Tensor:
    """Grad-CAM of one image as in the paper, with hooks on a copy of the model and a loop over channels."""
    model = copy.deepcopy(model)
    model.relu.inplace = False  # backward hooks do not allow changes in place
    module = model.relu if group == "stem" else model.get_submodule(group)
    kept: dict[str, torch.Tensor] = {}
    module.register_forward_hook(lambda _, __, output: kept.update(activations=output.detach()))
    module.register_full_backward_hook(lambda _, __, gradients: kept.update(gradients=gradients[0]))
    model(inputs[None])[0, label].backward()
    heat = torch.zeros(kept["activations"].shape[-2:])
    for channel, gradient in zip(kept["activations"][0], kept["gradients"][0], strict=True):
        heat += gradient.mean() * channel
    heat = F.interpolate(heat.clamp(min=0)[None, None], size=inputs.shape[-2:], mode="bilinear")[0, 0]
    return heat / heat.max() if heat.max() > 0 else heat


@pytest.mark.parametrize("stem", ["stock", "cifar"])
@pytest.mark.parametrize("group", ["stem", "layer2", "layer4"])
def test_it_equals_a_reference_with_hooks(stem: str, group: str):
    model, inputs = network(stem), torch.randn(3, 3, 64, 64)
    hottest = 0.0
    for label in range(5):
        heat = grad_cam(model, inputs, label, group)
        expected = torch.stack([reference(model, image, label, group) for image in inputs])
        assert heat.shape == (3, 64, 64) and not heat.requires_grad
        assert torch.allclose(heat, expected, atol=1e-4)
        hottest = max(hottest, expected.max().item())
    assert hottest == 1


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("training", [False, True])
def test_the_model_stays_as_it_is(group: str, training: bool):
    model = network("stock").train(training)
    model.fc.requires_grad_(False)
    model.conv1.weight.grad = torch.ones_like(model.conv1.weight)
    before = copy.deepcopy(model.state_dict())
    with torch.inference_mode():  # as a caller may be
        assert grad_cam(model, torch.randn(2, 3, 64, 64), 0, group).max() == 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training is training for module in model.modules())
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad is not name.startswith("fc.")
        assert (parameter.grad is not None) is (name == "conv1.weight")
    assert (model.conv1.weight.grad == 1).all()


def test_a_class_that_nothing_speaks_for_has_no_heat():
    model = network("stock")
    nn.init.zeros_(model.fc.weight)
    assert (grad_cam(model, torch.randn(1, 3, 64, 64), 1) == 0).all()


def test_the_head_has_no_heat_map():
    with pytest.raises(ValueError, match="group is 'fc'; it must be one of stem, layer1"):
        grad_cam(network("stock"), torch.zeros(1, 3, 64, 64), 0, "fc")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A classifier whose first two channels are where an image is red, and green; all its blocks are shortcuts."""
    folder = checkpoint(tmp_path_factory.mktemp("colours"), stem="cifar", image_size=32, labels=("red", "green"))
    classifier = Classifier.load(folder, "cpu")
    model = classifier.model
    with torch.no_grad():
        for module in (model.conv1, model.fc, *(layer[0].downsample[0] for layer in (model.layer2, model.layer3))):
            module.weight.zero_()
        model.layer4[0].downsample[0].weight.zero_()
        for channel, colour in enumerate(((1, -1, -1), (-1, 1, -1))):
            model.conv1.weight[channel, :, 1, 1] = torch.tensor(colour)
            for layer in (model.layer2, model.layer3, model.layer4):
                layer[0].downsample[0].weight[channel, channel] = 1
            model.fc.weight[channel, channel] = 1
        model.bn1.running_mean.fill_(3)  # only saturated colours count
    return classifier


def with_square(label: int, left: int, top: int, side: int = 8, size: tuple[int, int] = (32, 32)) -> Image.Image:
    image = Image.effect_noise(size, 60).convert("RGB")
    image.paste((230, 20, 20) if label == 0 else (20, 230, 20), (left, top, left + side, top + side))
    return image


CORNERS = {"left, above": (0, 0), "right, above": (1, 0), "left, below": (0, 1), "right, below": (1, 1)}


@pytest.mark.parametrize("corner", CORNERS)
def test_the_heat_lies_where_the_class_is_decided(colours: Classifier, corner: str):
    """An image of 90 x 60, of which the network sees the square from x = 15 on."""
    right, below = CORNERS[corner]
    image = with_square(1, 15 + 45 * right, 45 * below, side=15, size=(90, 60))
    assert colours.predict([image])[0].label == "green"
    heat = grad_cam(colours.model, colours.inputs([image]), 1, "layer3")[0]
    quarters = {name: heat[16 * y : 16 * y + 16, 16 * x : 16 * x + 16].mean() for name, (x, y) in CORNERS.items()}
    assert max(quarters, key=lambda name: quarters[name]) == corner

    drawn = explain(colours, image, "green", "layer3")
    assert drawn.size == (60, 60)  # the central square, at the image's resolution
    grey = overlay(Image.new("RGB", (90, 60), (128, 128, 128)), heat)
    hot, cold = (grey.getpixel((7 + 45 * x, 7 + 45 * y)) for x, y in ((right, below), (1 - right, 1 - below)))
    assert hot[0] > cold[0] + 50  # redder


def test_the_classifier_gives_features_and_inputs(tmp_path: Path):
    classifier = Classifier.load(checkpoint(tmp_path / "model"), "cpu")
    images = [with_square(0, 3, 5), with_square(1, 40, 20, size=(100, 60))]
    features = classifier.features(images)
    logits = classifier.model.fc(features.clone())
    for row, answer in zip(logits.softmax(1), classifier.predict(images), strict=True):
        assert row.max().item() == pytest.approx(max(answer.probabilities.values()), abs=1e-6)
