from pathlib import Path

import pytest

from resnet_cifar.errors import UserError
from resnet_cifar.training.preflight import check
from tests.builders import CPU, checkpoint, recipe


def test_weights_that_learned_the_val_images_are_no_start(tmp_path: Path):
    """Val is chosen by the seed: with the same one, and at least as many images, it is disjoint from what they saw."""
    earlier = checkpoint(tmp_path / "earlier")
    (earlier / "recipe.json").write_text(recipe(seed=3, val_images=100).to_json())
    for named in (earlier, earlier / "model.safetensors"):
        for changes in ({"seed": 3}, {"seed": 3, "val_images": 50}, {"val_images": 0}, {"data": "cifar100", "seed": 1}):
            check(recipe(init=str(named), **changes), None, CPU)
        for changes in ({}, {"seed": 3, "val_images": 200}):
            with pytest.raises(UserError, match=r"the initial weights .* would be this run.s val.* --seed 3"):
                check(recipe(init=str(named), **changes), None, CPU)
