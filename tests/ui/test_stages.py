"""The table of stages: from a recipe to rows and back."""

import pytest

from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import HEAD, Stage
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.ui.train.stages import rows_of, stages_from


@pytest.mark.parametrize("name", RECIPES)
def test_an_unedited_table_gives_the_recipe(name: str):
    assert stages_from(RECIPES[name], rows_of(RECIPES[name])) == (RECIPES[name].stages, {})


def test_edited_cells_change_and_everything_else_is_kept():
    base = RECIPES["transfer"]
    table = rows_of(base)
    table[1] |= {"lr": "0.04", "epochs": "20", "batch_size": "64", "learns": "layer3 to fc", "augmentation": "none"}
    table.append(table[2] | {"name": "once more"})
    stages, faults = stages_from(base, table)
    assert not faults and len(stages) == 4 and stages[3].name == "once more"
    assert stages[1].trainable == ("layer3", "layer4", "fc") and stages[1].augmentation == AUGMENTATIONS["none"]
    assert (stages[1].backbone_lr, stages[1].warmup_epochs) == (0.02, 2)  # in proportion
    assert (stages[1].layer_decay, stages[1].label_smoothing) == (0.8, 0.1)
    assert stages[3].ema_decay == base.stages[2].ema_decay


def test_a_stage_that_grows_shows_its_sizes_and_can_be_edited():
    base = RECIPES["overnight"]
    table = rows_of(base)
    assert table[0]["image_size"] == "64, 96, 128" and table[0]["augmentation"] == "as in the recipe"
    assert stages_from(base, table) == (base.stages, {})

    def edited(**cells: str) -> tuple[Stage, dict[str, str]]:
        (stage,), faults = stages_from(base, [table[0] | cells])
        return stage, faults

    smaller, faults = edited(image_size="48,64,96", epochs="10")
    assert not faults and smaller.image_sizes == (48, 64, 96)
    assert smaller.at(5).augmentation == base.stages[0].at(48).augmentation
    constant, faults = edited(image_size="64")
    assert not faults and constant.image_sizes == (64,) and len(constant.progression) == 2
    plain, faults = edited(augmentation="flip")
    assert not faults and {part.augmentation for part in plain.parts()} == {AUGMENTATIONS["flip"]}
    assert plain.image_sizes == (64, 96, 128)
    for wrong, says in (
        ("64, 96", "1 size, or 3"),
        ("64, x, 96", "whole number"),
        ("31", "stock stem"),
    ):
        stage, faults = edited(image_size=wrong)
        assert says in faults["0.image_size"] and stage == base.stages[0]


def test_a_head_stage_with_mixed_images_caches_no_features():
    table = rows_of(RECIPES["transfer"])
    table[0]["augmentation"] = "strong"
    (head, *_), faults = stages_from(RECIPES["transfer"], table)
    assert not faults and head.trainable == HEAD and head.views == 0


@pytest.mark.parametrize(
    "field,value,says",
    [
        ("epochs", "0", "between 1 and"),
        ("epochs", "1.5", "whole number"),
        ("lr", "", "number"),
        ("lr", "nan", "nan"),
        ("image_size", "31", "stock stem"),
        ("image_size", "1e9", "whole number"),
        ("batch_size", "1", "between 2 and"),
    ],
)
def test_each_faulty_cell_gets_its_message(field: str, value: str, says: str):
    table = rows_of(RECIPES["transfer"])
    table[1][field] = value
    stages, faults = stages_from(RECIPES["transfer"], table)
    assert list(faults) == [f"1.{field}"] and says in faults[f"1.{field}"]
    assert stages == RECIPES["transfer"].stages  # a faulty value changes nothing
