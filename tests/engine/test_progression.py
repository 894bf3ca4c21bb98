"""Stages whose image size and augmentation change along their epochs."""

import re
from pathlib import Path

import pytest
import torch

from resnet_cifar import events
from resnet_cifar.cli import main as cli
from resnet_cifar.cli.arguments import parse
from resnet_cifar.cli.chosen import recipe_from
from resnet_cifar.data.augment import augment
from resnet_cifar.data.batches import Images
from resnet_cifar.data.dataset import load
from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.engine.loop import train
from resnet_cifar.engine.state import Training
from resnet_cifar.hub.card import model_card
from resnet_cifar.model.initial import Start, build
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.config import Change, Recipe, Stage
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.recipe.schedule import learning_rate_factor
from resnet_cifar.report.text import recipe_lines
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.session import train as train_run
from resnet_cifar.training.trial import memory_needed
from tests.builders import CPU, app, begin, finish, known, of_kind, recipe, result, same_weights, stage

MIXED = Augmentation(flip="alternating", crop_padding=1 / 8, trivial_augment=True, cutmix=0.5, random_erasing=0.25)


def growing(**changes) -> Stage:
    """Two epochs at 32 px, one at 40, one at 48."""
    fields = {
        "epochs": 4,
        "batch_size": 32,
        "augmentation": Augmentation(flip="alternating", crop_padding=1 / 8),
        "progression": (Change(after=0.5, image_size=40, augmentation=MIXED), Change(after=0.75, image_size=48)),
        "no_mix_fraction": 0.25,
        "schedule": "linear",
        "warmup_epochs": 0.5,
        "ema_decay": 0.9,
    }
    return stage(**fields | changes)


def test_every_epoch_trains_and_evaluates_at_its_size():
    training, loop = begin(recipe(growing()))
    sizes: dict[bool, list[int]] = {True: [], False: []}
    training.model.register_forward_pre_hook(lambda m, args: sizes[m.training].append(args[0].shape[-1]))
    optimizer = training.optimizer
    seen, said = [], []
    for event in loop:
        said.append(event)
        if isinstance(event, events.EpochEnded):
            assert training.optimizer is optimizer  # one momentum over all sizes
            seen.append((event.image_size, {*sizes[True]}, {*sizes[False]} or {event.image_size}))
            sizes[True].clear(), sizes[False].clear()
    assert seen == [(size, {size}, {size}) for size in (32, 32, 40, 48)]
    (started,) = of_kind(events.StageStarted, said)
    assert started.image_sizes == (32, 40, 48)
    assert training.best is not None and training.best.image_size in (32, 40, 48)


def test_the_rate_falls_in_one_straight_line_over_all_sizes():
    plan = growing(epochs=8, warmup_epochs=1)
    rates = torch.tensor([learning_rate_factor(plan, step, 5) for step in range(40)])
    assert rates[5] == 1 and torch.allclose(rates[5:].diff(), torch.full((34,), -1 / 35))
    _, said = finish(recipe(growing(), log_every=1))
    logged = [event.lr for event in of_kind(events.StepLogged, said)]
    assert logged == pytest.approx([0.05 * learning_rate_factor(growing(), step, 4) for step in range(16)])


def test_the_average_begins_anew_where_the_size_changes_and_only_there():
    training, loop = begin(recipe(growing()))
    for event in loop:
        if isinstance(event, events.Progress) and event.phase == "train" and event.done == 1:
            live, average = training.net.state_dict(), training.ema.module.state_dict()
            anew = all(torch.equal(live[name], average[name]) for name in live)
            assert anew is (training.position.epoch in (0, 2, 3)), training.position


@pytest.mark.parametrize("place", ["middle", "end of epoch"])
def test_a_resume_in_each_part_equals_uninterrupted(place: str):
    """A new object for every epoch, taken up from what the one before saved."""
    plan = recipe(growing(), precision="fp32")
    straight, said = finish(plan)
    dataset = result(load(plan, None, CPU))
    training, loop = begin(plan)
    told: list[events.Event] = []
    resumed = 0
    while (event := next(loop, None)) is not None:
        told.append(event)
        middle = isinstance(event, events.Progress) and event.phase == "train" and event.done == 2
        if middle if place == "middle" else isinstance(event, events.EpochEnded):
            tensors, facts = training.state()
            kept = {name: tensor.clone() for name, tensor in tensors.items()}
            training = Training(build(plan, Start(None, CIFAR100, "")), plan, CPU, "fp32")
            training.restore(kept, facts)
            loop, resumed = train(training, dataset, CIFAR100), resumed + 1
    assert resumed == 4
    assert same_weights(straight.weights(), training.weights())
    assert same_weights(straight.best.weights, training.best.weights)
    assert of_kind(events.EpochEnded, told) == of_kind(events.EpochEnded, said)


def test_an_alternating_flip_shows_every_image_both_ways_in_two_epochs():
    images = torch.randint(0, 256, (50, 3, 32, 32), dtype=torch.uint8)
    labels, first = torch.arange(50), torch.rand(50) < 0.5
    policy = Augmentation(flip="alternating")
    source = Images(
        Split(images, labels, DATASETS["cifar100"]), Preprocess(32, CIFAR100, CPU), "stock", lambda _: policy, first
    )
    shown = [source.training_batch(labels, epoch, torch.Generator(), slice(0, 50))[0] for epoch in range(4)]
    assert torch.equal(shown[0], shown[2]) and torch.equal(shown[1], shown[3])
    assert torch.equal(shown[0], shown[1].flip(-1)) and not torch.equal(shown[0], shown[1])
    plain = source.inputs(0, 50)
    assert torch.equal((shown[0] == plain).flatten(1).all(1), ~first)
    assert 0 < first.sum() < 50


def test_without_a_phase_nothing_is_mirrored():
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(augment(images, Augmentation(flip="alternating"), torch.Generator()), images)


def test_costs_add_up_over_the_parts():
    plan = recipe(growing())
    (whole,) = plan.stages
    of_parts = sum(cost.stage_macs(plan, part) for part in whole.parts())
    assert cost.stage_macs(plan, whole) == pytest.approx(of_parts)
    assert cost.stage_macs(plan, whole) > 1.2 * cost.stage_macs(plan, growing(progression=()))
    until = [cost.macs_of_epochs(plan, whole, epochs / 4) for epochs in range(17)]
    assert until[-1] == of_parts and until == sorted(until)
    steps = torch.tensor(until).diff()
    assert steps[15] / steps[0] == pytest.approx(
        cost.epoch_macs(plan, stage(image_size=48, ema_decay=0.9)) / cost.epoch_macs(plan, whole), rel=1e-4
    )


def test_memory_is_that_of_the_largest_size():
    assert memory_needed(recipe(growing(batch_size=256)), CPU) == memory_needed(
        recipe(growing(batch_size=256, image_size=48, progression=())), CPU
    )


def test_time_left_and_price_know_each_size(tmp_path: Path):
    """Trains, and tries out what no run has shown: about 5 s."""
    run = RunDir.create(tmp_path / "run", recipe(growing()))
    parts = []
    record = Record(run)
    for event in train_run(run, device=CPU, data_dir=None):
        if isinstance(event, events.EpochEnded):
            parts.append(record.read().part_done())
    done = [cost.macs_of_epochs(record.recipe, record.recipe.stages[0], epochs) for epochs in (1, 2, 3, 4)]
    assert parts == pytest.approx([macs / cost.run_macs(record.recipe) for macs in done])
    estimates = Estimates(Records(tmp_path), CPU)
    assert known(estimates, recipe(growing())).earlier_run == "run"
    assert known(estimates, recipe(growing(image_size=36))).earlier_run is None


def test_the_card_and_the_list_of_recipes_say_how_it_changes(run: RunDir):
    changed = Recipe.from_json(run.recipe_file.read_text()).to_json()
    plan = Recipe.from_json(changed)
    run.recipe_file.write_text(Recipe(**{**fields(plan), "stages": (growing(),)}).to_json())
    card = model_card(run, "me/tiny").text
    assert "| 32, 40, 48 px |" in card and "trained on CIFAR-100 at 32, 40, 48 px, to be used at 32 px." in card
    assert "from epoch 3 on crop padding 0.125, flip alternating, random erasing 0.25, cutmix 0.5" in card
    assert "64, 96, 128 px" in recipe_lines()


def fields(plan: Recipe) -> dict:
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}


@pytest.mark.process
def test_a_recipe_file_trains_in_the_terminal(tmp_path: Path):
    """A process of its own: about 3 s. What a run leaves is a recipe file, too."""
    file = tmp_path / "mine.json"
    file.write_text(recipe(growing(), name="mine").to_json())
    done = app("--train-only", "--recipe", file, "--run", tmp_path / "run", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "at 32, 40, 48 px, batch 32" in done.stdout
    assert re.search(r"everything 3/4 .* EMA .* 40 px", done.stdout) and "recipe mine" in done.stdout
    again = tmp_path / "run" / "recipe.json"
    _, left = parse(["--train-only", "--recipe", str(again), "--epochs", "1", "--image-size", "32"])
    (changed,) = recipe_from(left, gpu=False).stages
    assert (changed.epochs, changed.image_size) == (1, 32) and not any(part.image_size for part in changed.progression)
    assert changed.batch_size == 32 and changed.progression[0].after == growing().progression[0].after


def test_a_recipe_file_that_cannot_be_used_gets_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "mine.json"
    assert cli.main(["--train-only", "--recipe", str(file)]) == 2
    assert f"cannot read the recipe {file}: No such file" in capsys.readouterr().err
    file.write_text(recipe().to_json().replace('"epochs": 2', '"epochs": 2.5'))
    assert cli.main(["--train-only", "--recipe", str(file)]) == 2
    assert "stages[0]: epochs is 2.5; it must be a whole number." in capsys.readouterr().err


def test_named_augmentations_do_not_alternate():
    """A stage of them may compute features of mirrored pairs once; only whole epochs can alternate."""
    assert {policy.flip for policy in AUGMENTATIONS.values()} == {"none", "random"}
