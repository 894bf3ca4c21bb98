"""The form of a new run as data: every field of a recipe, from a recipe to text and back."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.config import HEAD, Change, Recipe, Stage
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.ui.train.fields import FIELDS, PARTS, text_of
from resnet_cifar.ui.train.form import Form, form_of, recipe_of
from tests.builders import recipe, stage, staged_recipe

AWKWARD = {
    "teacher": recipe(teacher="/models/a b", distillation_weight=1 / 3, init="some/where.pth", train_images=None),
    "changes": recipe(
        stage(
            epochs=9,
            lr=1e-6,
            backbone_lr=1e-7,
            trainable=("fc", "layer4"),  # not in the usual order
            progression=(
                Change(after=1 / 3, augmentation=AUGMENTATIONS["strong"]),
                Change(after=0.5),
                Change(after=0.75, image_size=64),
            ),
        )
    ),
    "stages": staged_recipe(about='a "quoted" <b> sentence', seed=2**31 - 1),
}


@pytest.mark.parametrize("given", [*RECIPES.values(), *AWKWARD.values()], ids=[*RECIPES, *AWKWARD])
def test_an_unchanged_form_gives_the_recipe(given: Recipe):
    assert recipe_of(form_of(given)) == (given, {})


def test_every_field_of_a_recipe_is_in_the_form():
    for kind, fields in FIELDS.items():
        named = [field.name for field in fields]
        assert sorted([*named, *PARTS[kind]]) == sorted(field.name for field in dataclasses.fields(kind))
        for field in fields:
            assert field.title and field.help.endswith(".") and len(field.help) > len(field.title)


# Another valid value of each field, for a stage of three epochs at 64 px that grows to 96.
OTHER: dict[type, dict[str, Any]] = {
    Recipe: {
        "name": "mine",
        "about": "other words",
        "arch": "resnet50",
        "stem": "cifar",
        "init": "imagenet",
        "teacher": "/a/model",
        "distillation_weight": 0.25,
        "data": "cifar100",
        "train_images": None,
        "val_images": 300,
        "seed": 7,
        "precision": "fp32",
        "log_every": 9,
    },
    Stage: {
        "name": "other",
        "epochs": 4,
        "lr": 0.2,
        "backbone_lr": 0.03,
        "layer_decay": 0.7,
        "trainable": ("layer2", "fc"),
        "views": 3,
        "batch_size": 24,
        "image_size": 48,
        "no_mix_fraction": 0.3,
        "optimizer": "adamw",
        "schedule": "linear",
        "warmup_epochs": 0.7,
        "weight_decay": 0.001,
        "label_smoothing": 0.05,
        "ema_decay": 0.9,
        "patience": 2,
    },
    Change: {"after": 0.25, "image_size": 128},
    Augmentation: {
        "crop_padding": 0.3,
        "flip": "alternating",
        "random_erasing": 0.9,
        "mixup": 0.2,
        "cutmix": 0.5,
        "trivial_augment": True,
    },
}


def given() -> Recipe:
    growing = Change(after=0.5, image_size=96, augmentation=AUGMENTATIONS["flip"])
    return recipe(stage(name="first"), stage(epochs=3, image_size=64, progression=(growing,)), arch="resnet18")


def changed(kind: type, name: str, value: Any) -> Recipe:
    """`given` with one other value, in its second stage."""
    base = given()
    first, second = base.stages
    (growing,) = second.progression
    if kind is Recipe:
        return replace(base, **{name: value})
    if kind is Change:
        second = replace(second, progression=(replace(growing, **{name: value}),))
    elif kind is Augmentation:
        second = replace(second, augmentation=replace(second.augmentation, **{name: value}))
    else:
        second = replace(second, **{name: value})
    return replace(base, stages=(first, second))


def place(form: Form, kind: type) -> dict[str, Any]:
    second = form["recipe"]["stages"][1]
    return {
        Recipe: form["recipe"],
        Stage: second,
        Change: second["progression"][0],
        Augmentation: second["augmentation"],
    }[kind]


@pytest.mark.parametrize(
    "kind,name",
    [(kind, field.name) for kind, fields in FIELDS.items() for field in fields],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_each_field_can_be_changed_by_itself(kind: type, name: str):
    field = next(field for field in FIELDS[kind] if field.name == name)
    value, form = OTHER[kind][name], form_of(given())
    place(form, kind)[name] = text_of(field, value)
    expected = changed(kind, name, value)
    assert expected != given()
    assert recipe_of(form) == (expected, {})
    assert form_of(expected)["recipe"] == form["recipe"]


def edited(base: Recipe, number: int = 0, **cells: str) -> tuple[Recipe, dict[str, str]]:
    form = form_of(base)
    form["recipe"]["stages"][number] |= cells
    return recipe_of(form)


@pytest.mark.parametrize(
    "field,value,says",
    [
        ("epochs", "0", "Epochs is 0; it must lie between 1 and"),
        ("epochs", "1.5", "Epochs is '1.5'; it must be a whole number."),
        ("lr", "", "Learning rate is empty; enter a number."),
        ("lr", "nan", "Learning rate is nan"),
        ("image_size", "31", "Image size is 31; with the stock stem"),
        ("image_size", "1e9", "whole number"),
        ("batch_size", "1", "Batch size is 1; it must lie between 2 and"),
        ("optimizer", "magic", "it must be one of sgd, adamw."),
        ("trainable", "layer9", "Learns is 'layer9'"),
    ],
)
def test_a_faulty_field_gets_its_message_and_changes_nothing(field: str, value: str, says: str):
    base = RECIPES["transfer"]
    found, faults = edited(base, 1, **{field: value})
    assert list(faults) == [f"stages.1.{field}"] and says in faults[f"stages.1.{field}"]
    assert found == base


def test_several_faults_are_each_found_and_valid_edits_are_kept():
    form = form_of(RECIPES["transfer"])
    form["recipe"] |= {"val_images": "many", "seed": "-1", "log_every": "7"}
    form["recipe"]["stages"][0] |= {"image_size": "16", "epochs": "5"}
    form["recipe"]["stages"][2]["augmentation"] |= {"mixup": "0.9", "flip": "up"}
    found, faults = recipe_of(form)
    assert list(faults) == [
        "val_images",
        "seed",
        "stages.2.augmentation.flip",
        "stages.0.image_size",
        "stages.2.augmentation.mixup",
    ]
    assert faults["stages.2.augmentation.mixup"] == "Mixup + CutMix is 1.3; it must lie between 0 and 1."
    assert (found.log_every, found.stages[0].epochs, found.val_images) == (7, 5, 5_000)


def test_fields_that_are_valid_only_together_are_changed_together():
    form = form_of(RECIPES["transfer"])
    form["recipe"] |= {"stem": "cifar", "init": "scratch", "seed": "x"}  # the fault makes each be tried by itself
    form["recipe"]["stages"][1] |= {"epochs": "1", "warmup_epochs": "0.1", "image_size": "16"}
    found, faults = recipe_of(form)
    assert list(faults) == ["seed"]
    assert (found.stem, found.init, found.stages[1].image_size, found.stages[1].epochs) == ("cifar", "scratch", 16, 1)


def test_stages_and_changes_are_added_and_removed():
    base = RECIPES["overnight"]
    form = form_of(base)
    (only,) = form["recipe"]["stages"]
    form["recipe"]["stages"].append(only | {"name": "again", "progression": only["progression"][1:]})
    found, faults = recipe_of(form)
    assert not faults and [one.name for one in found.stages] == ["everything", "again"]
    assert found.stages[1].progression == base.stages[0].progression[1:]
    added = {"after": "0.9", "image_size": "160", "augmentation": None}
    only["progression"] = [*only["progression"], added]
    found, faults = recipe_of(form)
    assert not faults and found.stages[0].progression[-1] == Change(after=0.9, image_size=160)
    added["after"] = "0.7"  # before the one above it
    found, faults = recipe_of(form)
    assert list(faults) == ["stages.0.progression"] and "ascending" in faults["stages.0.progression"]
    added |= {"after": "2"}
    found, faults = recipe_of(form)
    assert list(faults) == ["stages.0.progression.2.after"] and found.stages[0] == base.stages[0]


def test_weights_are_looked_up_unless_they_are_unchanged():
    form = form_of(recipe(init="models/mine"))
    form["recipe"]["teacher"] = "best"
    found, faults = recipe_of(form, lambda name: f"/checkpoints/{name}")
    assert (found.init, found.teacher, faults) == ("models/mine", "/checkpoints/best", {})


def test_a_head_on_cached_features_cannot_mix():
    form = form_of(RECIPES["transfer"])
    form["recipe"]["stages"][0]["augmentation"]["mixup"] = "0.5"
    found, faults = recipe_of(form)
    assert list(faults) == ["stages.0.augmentation.mixup"] and "set views to 0" in faults["stages.0.augmentation.mixup"]
    assert found == RECIPES["transfer"] and found.stages[0].trainable == HEAD
