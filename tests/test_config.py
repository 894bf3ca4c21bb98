import pytest

from resnet_cifar.config import AUGMENTS, HEAD, Augment, Recipe
from resnet_cifar.errors import UserError
from resnet_cifar.recipes import RECIPES, recipe_named
from tests.conftest import recipe, stage


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
        ("unmixed", 1.1),
        ("label_smoothing", 1.0),
        ("averaging", 1.0),
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
        stage(trainable=HEAD, augment=AUGMENTS["strong"])
    assert not stage(trainable=HEAD, augment=AUGMENTS["strong"], views=0).caches_features


@pytest.mark.parametrize(
    ("field", "value"),
    [("arch", "vgg"), ("stem", "big"), ("data", "mnist"), ("precision", "fp8"), ("train_images", 99), ("seed", -1)],
)
def test_a_recipe_refuses_what_it_does_not_know(field: str, value: object):
    with pytest.raises(UserError, match=f"{field} is .*{value}"):
        recipe(**{field: value})


def test_chances_of_mixing_add_up_to_one_at_most():
    with pytest.raises(UserError, match="1.1"):
        Augment(mixup=0.6, cutmix=0.5)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x", "stages": [], "colour": 1}'])
def test_other_json_is_no_recipe(text: str):
    with pytest.raises(UserError, match="no recipe|no stages"):
        Recipe.from_json(text)


def test_an_unknown_recipe_is_told_which_there_are():
    with pytest.raises(UserError, match="'quikc'.*transfer, scratch, sprint, small-budget, quick"):
        recipe_named("quikc")


def test_with_the_stock_stem_a_picture_must_not_shrink_to_nothing():
    with pytest.raises(UserError, match=r"everything: image_size is 31; .* 32 at least"):
        recipe(stage(image_size=31))
    assert recipe(stage(image_size=16), stem="cifar").stages[0].image_size == 16


def test_what_depends_on_epochs_and_rate_keeps_its_proportion():
    before = stage(epochs=10, warmup_epochs=1, lr=0.02, backbone_lr=0.01)
    after = before.changed(epochs=5, lr=0.2, batch_size=8)
    assert (after.warmup_epochs, after.backbone_lr, after.batch_size) == (0.5, 0.1, 8)
    assert stage(lr=0.1).changed(lr=0.2).backbone_lr is None


def test_the_last_tenth_of_the_epochs_is_not_mixed():
    long = stage(epochs=200, augment=AUGMENTS["strong"], unmixed=0.1)
    assert long.augment_in(179) == AUGMENTS["strong"] and long.augment_in(180) == AUGMENTS["erase"]
    assert all(stage(epochs=epochs, augment=AUGMENTS["strong"]).augment_in(epochs - 1).mixes for epochs in range(1, 99))
