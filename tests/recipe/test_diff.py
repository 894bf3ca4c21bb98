"""What differs between recipes, in the words of the page."""

from dataclasses import fields, replace

import pytest

from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.config import EVERYTHING, HEAD, Change, Recipe, Stage
from resnet_cifar.recipe.datasets import OwnData
from resnet_cifar.recipe.diff import differences, summary
from resnet_cifar.recipe.presets import RECIPES
from tests.builders import recipe, stage, staged_recipe

WITHOUT_EFFECT = {"name", "about", "own"}  # own goes with data and val_images, see below
RECIPE = {
    "arch": "resnet18",
    "stem": "cifar",
    "init": "/home/me/runs/good-1",
    "teacher": "/home/me/runs/wise-1",
    "distillation_weight": 0.25,
    "data": "cifar100",
    "train_images": 200,
    "val_images": 200,
    "seed": 1,
    "precision": "fp32",
    "log_every": 7,
    "stages": (stage(lr=0.06),),
}
STAGE = {
    "name": "other",
    "epochs": 4,
    "lr": 0.06,
    "backbone_lr": 0.01,
    "layer_decay": 0.5,
    "trainable": HEAD,
    "views": 3,
    "batch_size": 32,
    "image_size": 64,
    "augmentation": AUGMENTATIONS["strong"],
    "progression": (Change(after=0.5, image_size=64),),
    "no_mix_fraction": 0.5,
    "optimizer": "lion",
    "schedule": "linear",
    "warmup_epochs": 1.0,
    "weight_decay": 0.0,
    "label_smoothing": 0.1,
    "ema_decay": 0.9,
    "patience": 3,
}
AUGMENTATION = {
    "crop_padding": 0.25,
    "flip": "alternating",
    "random_erasing": 0.3,
    "mixup": 0.2,
    "cutmix": 0.2,
    "trivial_augment": True,
}


def test_the_examples_below_have_every_field():
    for kind, examples in ((Recipe, RECIPE), (Stage, STAGE), (Augmentation, AUGMENTATION)):
        named = {field.name for field in fields(kind)} - (WITHOUT_EFFECT if kind is Recipe else set())
        assert named == set(examples)


@pytest.mark.parametrize("field", RECIPE)
def test_one_field_of_the_recipe_is_one_line(field: str):
    (line,) = differences([recipe(), replace(recipe(), **{field: RECIPE[field]})])
    assert len(line[1]) == 2 and line[1][0] != line[1][1]
    assert not any("/home" in value for value in line[1])


def test_other_images_of_ones_own_are_other_data():
    facts = OwnData(
        labels=("cat", "dog"), train_counts=(5, 4), val_images=2, test_images=2, side=32, fingerprint="abcdefgh"
    )
    own = replace(recipe(), data="own", own=facts, train_images=None, val_images=2)
    (line,) = differences([own, replace(own, own=replace(facts, fingerprint="12345678"))])
    assert line == ("Data", ("own images of 2 classes (abcdef)", "own images of 2 classes (123456)"))


@pytest.mark.parametrize("field", STAGE)
def test_one_field_of_a_stage_is_one_line(field: str):
    before = stage(warmup_epochs=0.5, trainable=HEAD if field == "views" else EVERYTHING)
    (line,) = differences([recipe(before), recipe(replace(before, **{field: STAGE[field]}))])
    assert line[1][0] != line[1][1]


@pytest.mark.parametrize("field", AUGMENTATION)
def test_one_part_of_the_augmentation_is_one_line(field: str):
    before = stage(augmentation=Augmentation(flip="random", random_erasing=0.1))
    after = replace(before, augmentation=replace(before.augmentation, **{field: AUGMENTATION[field]}))
    ((path, values),) = differences([recipe(before), recipe(after)])
    assert path != "Augmentation" and values[0] != values[1]


@pytest.mark.parametrize("change", [{"lr": 0.3}, {"epochs": 8}, {"image_size": 96}])
def test_what_follows_a_change_is_no_second_line(change: dict):
    """`changed` keeps the backbone's rate and the warm-up in proportion, and replaces a growing size."""
    like = stage(warmup_epochs=0.5, backbone_lr=0.01, progression=(Change(after=0.5, image_size=64),))
    ((path, _),) = differences([recipe(like), recipe(like.changed(**change))])
    assert path == {"lr": "Learning rate", "epochs": "Epochs", "image_size": "Image size"}[next(iter(change))]


def test_features_of_mixed_images_cannot_be_cached_which_is_no_second_line():
    head = stage(trainable=HEAD, views=2)
    mixed = replace(head, augmentation=AUGMENTATIONS["strong"], views=0)
    assert differences([recipe(head), recipe(mixed)]) == [("Augmentation", ("erase", "strong"))]


def test_equal_recipes_do_not_differ_and_neither_do_names():
    assert differences([]) == differences([staged_recipe()]) == []
    assert differences([staged_recipe(), staged_recipe(name="other", about="the same")]) == []


def test_a_stage_more_is_one_line_and_the_others_are_compared_by_name():
    one = staged_recipe()
    other = replace(one, stages=(one.stages[0], replace(one.stages[2], lr=0.01)))
    assert differences([one, other]) == [
        ("Stage top", ("1 epoch of layer4, fc", "none")),
        ("everything: Learning rate", ("0.05", "0.01")),
    ]
    twice = replace(one, stages=(*one.stages, one.stages[2]))
    assert differences([one, twice]) == [("Stage everything 2", ("none", "2 epochs of everything"))]


def test_a_stage_is_named_only_if_there_are_several():
    assert differences([recipe(stage(lr=0.1)), recipe(stage(lr=0.2))]) == [("Learning rate", ("0.1", "0.2"))]
    one = staged_recipe()
    renamed = replace(one, stages=(replace(one.stages[0], name="fc"), *one.stages[1:]))
    assert differences([one, renamed]) == [("Stage 1: Name", ("head", "fc"))]


def test_several_recipes_are_compared_at_once():
    assert differences([recipe(seed=seed) for seed in (0, 0, 2)]) == [("Seed", ("0", "0", "2"))]
    assert differences(list(RECIPES.values()))


def test_the_summary_has_one_text_for_each_field():
    found = summary(staged_recipe())
    assert found["Learning rate"] == "0.1 / 0.05 / 0.05" and found["Batch size"] == "16" and found["Seed"] == "0"
    growing = stage(progression=(Change(after=0.5, image_size=64, augmentation=AUGMENTATIONS["strong"]),))
    assert summary(recipe(growing))["Image size"] == "32 px, 64 px after 50 %"
    assert summary(recipe(growing))["Augmentation"] == "erase, strong after 50 %"
    mine = stage(augmentation=Augmentation(mixup=0.2, flip="random"))
    assert summary(recipe(mine))["Augmentation"] == "flip random; mixup 20 %"
