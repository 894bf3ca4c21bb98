import json
from itertools import pairwise

import pytest

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.config import HEAD, Change, Recipe, Stage
from resnet_cifar.recipe.presets import RECIPES, recipe_named
from tests.builders import recipe, stage


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name: str):
    assert Recipe.from_json(RECIPES[name].to_json()) == RECIPES[name]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("lr", 0),
        ("lr", float("nan")),
        ("lr", -0.1),
        ("backbone_lr", 99),
        ("batch_size", 1),
        ("image_size", 4),
        ("warmup_epochs", 3),
        ("no_mix_fraction", 1.1),
        ("label_smoothing", 1.0),
        ("ema_decay", 1.0),
    ],
)
def test_a_stage_refuses_what_is_out_of_range(field: str, value: object):
    with pytest.raises(UserError, match=f"everything: {field} is {value};"):
        stage(**{field: value})


def test_a_stage_refuses_groups_that_are_not_there():
    with pytest.raises(UserError, match="trainable is 'layer9'; it must be one of stem, layer1"):
        stage(trainable=("layer9",))
    with pytest.raises(UserError, match="trainable is empty"):
        stage(trainable=())


def test_a_stage_that_computes_features_once_cannot_mix():
    with pytest.raises(UserError, match="set views to 0"):
        stage(trainable=HEAD, augmentation=AUGMENTATIONS["strong"])
    assert not stage(trainable=HEAD, augmentation=AUGMENTATIONS["strong"], views=0).caches_features


@pytest.mark.parametrize(
    ("field", "value"),
    [("arch", "vgg"), ("stem", "big"), ("data", "mnist"), ("precision", "fp8"), ("train_images", 99), ("seed", -1)],
)
def test_a_recipe_refuses_what_it_does_not_know(field: str, value: object):
    with pytest.raises(UserError, match=f"{field} is .*{value}"):
        recipe(**{field: value})


def test_chances_of_mixing_add_up_to_one_at_most():
    with pytest.raises(UserError, match="1.1"):
        Augmentation(mixup=0.6, cutmix=0.5)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x", "stages": [], "colour": 1}'])
def test_other_json_is_no_recipe(text: str):
    with pytest.raises(UserError, match="not a recipe|recipe is \\[\\]|missing|no field"):
        Recipe.from_json(text)


def test_an_unknown_recipe_is_told_which_there_are():
    with pytest.raises(UserError, match="'quikc'.*transfer, scratch, overnight, sprint, small-budget, quick"):
        recipe_named("quikc")


def test_with_the_stock_stem_an_image_must_not_shrink_to_nothing():
    with pytest.raises(UserError, match=r"everything: image_size is 31; .* at least 32"):
        recipe(stage(image_size=31))
    assert recipe(stage(image_size=16), stem="cifar").stages[0].image_size == 16


def test_what_depends_on_epochs_and_rate_keeps_its_proportion():
    before = stage(epochs=10, warmup_epochs=1, lr=0.02, backbone_lr=0.01)
    after = before.changed(epochs=5, lr=0.2, batch_size=8)
    assert (after.warmup_epochs, after.backbone_lr, after.batch_size) == (0.5, 0.1, 8)
    assert stage(lr=0.1).changed(lr=0.2).backbone_lr is None


def test_the_last_tenth_of_the_epochs_is_not_mixed():
    long = stage(epochs=200, augmentation=AUGMENTATIONS["strong"], no_mix_fraction=0.1)
    assert long.at(179).augmentation == AUGMENTATIONS["strong"]
    assert long.at(180).augmentation == AUGMENTATIONS["erase"]


def growing(**changes) -> Stage:
    later = (Change(after=0.5, image_size=48), Change(after=0.75, augmentation=AUGMENTATIONS["strong"]))
    return stage(**{"epochs": 8, "image_size": 32, "progression": later} | changes)


def test_size_and_augmentation_change_along_a_stage():
    plan = growing(no_mix_fraction=1 / 8)
    assert [plan.at(epoch).image_size for epoch in range(8)] == [32] * 4 + [48] * 4
    assert [plan.at(epoch).augmentation.mixes for epoch in range(8)] == [False] * 6 + [True, False]
    assert plan.image_sizes == (32, 48)
    assert [(part.epochs, part.image_size, part.augmentation.mixes) for part in plan.parts()] == [
        (4, 32, False),
        (2, 48, False),
        (1, 48, True),
        (1, 48, False),
    ]
    assert Recipe.from_json(recipe(plan).to_json()) == recipe(plan)


@pytest.mark.parametrize("epochs", [1, 2, 3, 8, 97])
def test_parts_are_the_settings_of_all_epochs(epochs: int):
    """Whichever changes fall into the same epoch, behind the last one, or change nothing."""
    later = (Change(after=0.1, image_size=32), Change(after=0.3, image_size=48), Change(after=0.34, image_size=64))
    for share in (0, 0.3, 0.7, 1):
        plan = growing(epochs=epochs, progression=later, augmentation=AUGMENTATIONS["strong"], no_mix_fraction=share)
        parts = [(part.image_size, part.augmentation) for part in plan.parts()]
        assert all(one != other for one, other in pairwise(parts))
        each = [settings for part, settings in zip(plan.parts(), parts, strict=True) for _ in range(part.epochs)]
        assert each == [(plan.at(epoch).image_size, plan.at(epoch).augmentation) for epoch in range(epochs)]


def test_changed_keeps_the_proportions_of_a_progression_but_one_size_is_for_all_epochs():
    assert [growing().changed(epochs=4).at(epoch).image_size for epoch in range(4)] == [32, 32, 48, 48]
    same = growing().changed(image_size=40)
    assert same.image_sizes == (40,) and same.at(7).augmentation == AUGMENTATIONS["strong"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"progression": (Change(after=0.5), Change(after=0.2))}, r"progression has changes after \[0.5, 0.2\]"),
        ({"trainable": HEAD}, "views to 0"),
        ({"schedule": "steps"}, "schedule is 'steps'"),
    ],
)
def test_a_stage_refuses_a_progression_that_cannot_be(changes: dict, told: str):
    with pytest.raises(UserError, match=told):
        growing(**changes)
    with pytest.raises(UserError, match="image_size is 31"):
        recipe(stage(progression=(Change(after=0.5, image_size=31),), image_size=64))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("stages", 0, "epochs"), 2.5, r"stages\[0\]: epochs is 2.5; it must be a whole number"),
        (("stages", 0, "epochs"), True, r"epochs is True; it must be a whole number"),
        (("stages", 0, "lr"), "0.1", r"lr is '0.1'; it must be a number"),
        (("stages", 0, "trainable"), "fc", r"trainable is 'fc'; it must be a list"),
        (("stages", 0, "trainable"), [1], r"trainable\[0\] is 1; it must be text"),
        (("stages", 0, "augmentation", "trivial_augment"), 1, "trivial_augment is 1; it must be true or false"),
        (("stages", 0, "augmentation", "colour"), 1, "has no field 'colour'; it has crop_padding"),
        (("stages", 0, "progression"), [{"image_size": 64}], "the field 'after' is missing"),
        (("seed",), None, "seed is None; it must be a whole number"),
        (("seed",), -1, "seed is -1"),
        (("name",), "../x", r"'../x' is not a valid name for a recipe"),
        (("stages", 0, "trainable"), ["fc", "fc"], "trainable names 'fc' twice"),
        (("stages", 0, "name"), "", "the name of a stage has 0 characters"),
        (("stages", 0, "epochs"), 10**400, r"epochs is 1000.* \.\.\.; it must lie between"),
        (("init",), "x" * 300, "no file system takes it"),
        (("about",), "\ud800", "no file or page can hold"),
        (("stages",), [], "number of stages is 0"),
    ],
)
def test_a_recipe_file_is_refused_by_field_and_value(path: tuple, value: object, told: str):
    fields = json.loads(recipe().to_json())
    *way, last = path
    place = fields
    for key in way:
        place = place[key]
    place[last] = value
    with pytest.raises(UserError, match=told):
        Recipe.from_json(json.dumps(fields))


def test_a_recipe_file_may_leave_out_what_has_a_default():
    short = Recipe.from_json('{"name": "x", "stages": [{"name": "all", "epochs": 1, "lr": 1}]}')
    assert short == Recipe(name="x", stages=(Stage(name="all", epochs=1, lr=1),))
