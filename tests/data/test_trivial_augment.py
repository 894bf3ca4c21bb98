"""Every change against torchvision's own, of the same strength."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from resnet_cifar.data.augment import augment
from resnet_cifar.data.trivial_augment import GREY, OPERATIONS, apply_operations
from resnet_cifar.recipe.augmentation import Augmentation
from tests.builders import CPU


def affine(
    image: Tensor, angle: float = 0, translate: Sequence[float] = (0, 0), shear: Sequence[float] = (0, 0)
) -> Tensor:
    """Torchvision's, on grey; its own `fill` counts the edge's mask twice."""
    grey = torch.tensor(GREY)[:, None, None]
    moved = tv.affine(image - grey.float(), angle, list(translate), 1.0, list(shear), InterpolationMode.BILINEAR)
    return (moved + grey).round().to(torch.uint8)


def degrees(tangent: float) -> float:
    return float(torch.rad2deg(torch.atan(torch.tensor(tangent))))


THEIRS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda image, _: image,
    "shear x": lambda image, s: affine(image, shear=[degrees(0.99 * s), 0]),
    "shear y": lambda image, s: affine(image, shear=[0, degrees(0.99 * s)]),
    "shift x": lambda image, s: affine(image, translate=[-10 * s, 0]),
    "shift y": lambda image, s: affine(image, translate=[0, -10 * s]),
    "rotate": lambda image, s: affine(image, angle=135 * s),
    "brightness": lambda image, s: tv.adjust_brightness(image, 1 + 0.99 * s),
    "colour": lambda image, s: tv.adjust_saturation(image, 1 + 0.99 * s),
    "contrast": lambda image, s: tv.adjust_contrast(image, 1 + 0.99 * s),
    "sharpness": lambda image, s: tv.adjust_sharpness(image, 1 + 0.99 * s),
    "posterize": lambda image, s: tv.posterize(image, 8 - round(6 * abs(s))),
    "solarize": lambda image, s: tv.solarize(image, 255 * (1 - abs(s))),
    "autocontrast": lambda image, _: tv.autocontrast(image),
    "equalize": lambda image, _: tv.equalize(image),
}


def noise_images() -> Tensor:
    """Soft ones and noise; one dark, one without any contrast."""
    draws = torch.Generator(CPU).manual_seed(3)
    soft = torch.nn.functional.interpolate(torch.rand(4, 3, 5, 5, generator=draws) * 255, 32, mode="bilinear")
    noise = torch.randint(0, 256, (4, 3, 32, 32), generator=draws)
    return torch.cat((soft, noise, soft[:1] / 4, torch.full((1, 3, 32, 32), 77))).to(torch.uint8)


@pytest.mark.parametrize("strength", [-1.0, -0.35, 0.0, 0.6, 1.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_change_is_that_of_torchvision(name: str, strength: float):
    images = noise_images()
    kind = torch.full((len(images),), OPERATIONS.index(name))
    ours = apply_operations(images, kind, torch.full((len(images),), strength))
    theirs = torch.stack([THEIRS[name](image, strength) for image in images])
    assert ours.dtype == torch.uint8
    assert int((ours.int() - theirs.int()).abs().max()) <= 1  # they round now and then otherwise
    if name not in ("solarize", "autocontrast", "equalize") and strength == 0:
        assert torch.equal(ours[:8], images[:8])


def test_the_images_of_a_batch_are_changed_each_on_its_own():
    """A mixed batch gives what batches of one kind give."""
    images = noise_images()[:1].expand(len(OPERATIONS), -1, -1, -1)
    kinds = torch.arange(len(OPERATIONS))
    strength = torch.linspace(-0.9, 0.9, len(OPERATIONS))
    together = apply_operations(images, kinds, strength)
    alone = [apply_operations(images[:1], kinds[i : i + 1], strength[i : i + 1])[0] for i in kinds]
    assert torch.equal(together, torch.stack(alone))
    assert len(together.flatten(1).unique(dim=0)) == len(OPERATIONS)


@pytest.mark.slow
def test_every_change_comes_up_about_as_often():
    images = noise_images()[:1].expand(2800, -1, -1, -1)
    once, again = (
        augment(images, Augmentation(trivial_augment=True), torch.Generator(CPU).manual_seed(seed)) for seed in (0, 0)
    )
    assert torch.equal(once, again)
    kept = (once == images).flatten(1).all(1)
    assert 200 < int(kept.sum()) < 400  # identity, and what is too weak to show
    kinds = [
        once == apply_operations(images[:1], torch.tensor([OPERATIONS.index(name)]), torch.ones(1))
        for name in OPERATIONS[-2:]
    ]
    for same in kinds:
        assert 150 < int(same.flatten(1).all(1).sum()) < 250  # 200 are expected of each
