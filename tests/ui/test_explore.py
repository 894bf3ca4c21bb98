"""The train images of a class, before and after augmentation."""

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from resnet_cifar.data.dataset import load
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.classes import COARSE, FINE
from resnet_cifar.recipe.config import Change, Recipe
from resnet_cifar.ui.train import explore as module
from resnet_cifar.ui.train.explore import PAGE, explore
from tests.builders import CPU, recipe, result, stage

PLAIN = recipe(stage(augmentation=AUGMENTATIONS["none"]), train_images=3_000)


def look(plan: Recipe, wanted: str = "trout", part: int = 0, first: int = 0, draw: int = 0) -> dict[str, Any]:
    return explore(plan, plan.stages[0], None, wanted, part, first, draw)


def pixels(url: str) -> torch.Tensor:
    return pil_to_tensor(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))).float()


def with_policy(policy: Augmentation) -> Recipe:
    return replace(PLAIN, stages=(stage(augmentation=policy),))


def test_all_train_images_of_a_class_are_shown_page_by_page_and_no_others():
    train = result(load(PLAIN, None, CPU)).train
    own = train.images[train.labels == FINE.index("trout")].float()
    seen, first = [], 0
    while images := look(PLAIN, first=first)["images"]:
        assert len(images) <= PAGE and all(one["label"] == "trout" and one["target"] == "" for one in images)
        seen += [pixels(one["plain"])[:, 2::4, 2::4] for one in images]
        first += PAGE
    assert len(seen) == len(own) == look(PLAIN)["total"] == 30
    nearest = [min(range(len(own)), key=lambda row: (own[row] - image).abs().mean().item()) for image in seen]
    assert sorted(nearest) == list(range(30))  # each once; files are JPEG, so not to the bit


def test_a_superclass_has_the_images_of_its_classes_and_classes_stand_under_superclasses():
    found = look(PLAIN, "fish")
    assert found["total"] == 150 and {one["label"] for one in found["images"]} > {"trout"}
    groups = {group["name"]: group["labels"] for group in found["groups"]}
    assert tuple(groups) == COARSE and "trout" in groups["fish"] and sum(map(len, groups.values())) == 100
    assert look(PLAIN, "troll")["wanted"] == "apple"  # a class of the data set that was chosen before


def test_the_augmentation_is_that_of_the_recipe():
    same = look(PLAIN)["images"]
    assert all(one["plain"] == one["augmented"] for one in same)
    mirrored = look(with_policy(replace(AUGMENTATIONS["none"], flip="alternating")))["images"]
    turned = [one["plain"] != one["augmented"] for one in mirrored]
    again = look(with_policy(replace(AUGMENTATIONS["none"], flip="alternating")), draw=1)["images"]
    assert any(turned) and [one["plain"] == one["augmented"] for one in again] == turned  # the others, in odd epochs
    for one in mirrored:
        expected = pixels(one["plain"]).flip(-1) if one["plain"] != one["augmented"] else pixels(one["plain"])
        assert (pixels(one["augmented"]) - expected).abs().mean() < 4


def test_mixed_images_say_what_they_count_as_and_are_mixed_with_any_class():
    images = [one for draw in range(4) for one in look(with_policy(Augmentation(mixup=1.0)), draw=draw)["images"]]
    others = {name for one in images if one["target"] for name in FINE if f" % {name}" in one["target"]}
    assert len(others - {"trout"}) > 10
    assert all(" % trout" in one["target"] for one in images if one["target"])


def test_a_part_of_the_stage_has_its_own_size():
    growing = stage(epochs=4, progression=(Change(after=0.5, image_size=64),))
    plan = replace(PLAIN, stages=(growing,))
    assert look(plan)["parts"] == ["Epochs 1 to 2: 32 px", "Epochs 3 to 4: 64 px"]
    small, large = (pixels(look(plan, part=part)["images"][0]["plain"]) for part in (0, 1))
    blocky = small.unfold(1, 4, 4).unfold(2, 4, 4).std((3, 4)).mean()
    assert small.shape == large.shape == (3, 128, 128)
    assert blocky < large.unfold(1, 4, 4).unfold(2, 4, 4).std((3, 4)).mean()


def test_looking_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "DATA", tmp_path / "data")
    monkeypatch.setattr("resnet_cifar.data.cifar100.download", lambda: pytest.fail("a download"))
    real = replace(PLAIN, data="cifar100")
    with pytest.raises(UserError, match="not on this machine yet. The first run downloads it"):
        explore(real, real.stages[0], None, "trout", 0, 0, 0)
    with pytest.raises(UserError, match=f"there is no data folder {tmp_path / 'mine'}"):
        explore(real, real.stages[0], tmp_path / "mine", "trout", 0, 0, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_val_images_are_not_among_them(cifar100_dir: Path):
    plan = replace(PLAIN, data="cifar100", train_images=None, val_images=5_000)
    assert explore(plan, plan.stages[0], cifar100_dir, "trout", 0, 0, 0)["total"] == 450
