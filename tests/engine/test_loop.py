"""The loop on its own: no files, no processes."""

import math
import random
from dataclasses import replace

import pytest
import torch

from resnet_cifar import events
from resnet_cifar.data.dataset import load
from resnet_cifar.data.preprocess import CIFAR100
from resnet_cifar.data.split import Dataset, Split
from resnet_cifar.engine.loop import _keep_if_best, train
from resnet_cifar.engine.state import Training
from resnet_cifar.engine.step import Batch, train_step
from resnet_cifar.errors import Diverged
from resnet_cifar.model.initial import Start, build
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import HEAD
from resnet_cifar.recipe.datasets import DATASETS
from resnet_cifar.recipe.schedule import learning_rate_factor, steps_per_epoch
from tests.builders import CPU, begin, finish, of_kind, recipe, result, same_weights, stage, staged_recipe


def test_the_same_seed_says_and_learns_the_same():
    once, said_once = finish(staged_recipe())
    again, said_again = finish(staged_recipe())
    _, said_other = finish(staged_recipe(seed=1))
    assert said_once == said_again and said_once != said_other
    assert same_weights(once.weights(), again.weights())


@pytest.mark.slow
def test_images_are_mixed_until_the_last_epochs():
    def losses(**changes: object) -> list[float]:
        _, said = finish(recipe(stage(**changes), log_every=1))
        return [event.loss for event in of_kind(events.StepLogged, said)]

    mixed, plain, half = (
        losses(augmentation=AUGMENTATIONS["strong"]),
        losses(augmentation=AUGMENTATIONS["erase"]),
        losses(augmentation=AUGMENTATIONS["strong"], no_mix_fraction=0.5),
    )
    assert losses(augmentation=AUGMENTATIONS["strong"], no_mix_fraction=1.0) == plain
    assert half[:7] == mixed[:7] and half[7:] != mixed[7:]


def test_stages_are_announced_run_and_ended_in_order():
    _, said = finish(staged_recipe())
    lifecycle = [(type(e).__name__, e.stage) for e in said if not isinstance(e, events.Progress | events.StepLogged)]
    assert lifecycle == [
        (name, index)
        for index, epochs in enumerate((2, 1, 2))
        for name in ("StageStarted", *["EpochEnded"] * epochs, "StageEnded")
    ]


def test_frozen_stages_leave_the_backbone_to_the_bit():
    """Weights and BatchNorm statistics, through a whole stage, whether features are computed once or not."""
    for frozen in (
        stage(trainable=HEAD, augmentation=AUGMENTATIONS["standard"]),
        stage(trainable=HEAD, views=0),
        stage(trainable=("layer4", "fc"), ema_decay=0.9),
    ):
        training, loop = begin(recipe(frozen))
        before = training.weights()
        list(loop)
        after = training.weights()
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert moved and all(name.startswith(frozen.trainable) for name in moved)
        assert same_weights(
            {n: t for n, t in training.best.weights.items() if n not in moved and n in before},
            {n: t for n, t in before.items() if n not in moved},
        )


def test_features_computed_once_give_what_the_whole_network_gives():
    once = stage(trainable=HEAD, augmentation=AUGMENTATIONS["none"], views=1, epochs=3)
    cached, said_cached = finish(recipe(once))
    whole, said_whole = finish(recipe(replace(once, views=0)))
    assert torch.allclose(cached.model.fc.weight, whole.model.fc.weight, atol=1e-5)
    for one, other in zip(of_kind(events.EpochEnded, said_cached), of_kind(events.EpochEnded, said_whole), strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)
        assert one.val.loss == pytest.approx(other.val.loss, rel=1e-4)


def test_a_head_stage_runs_the_backbone_once_for_each_view(monkeypatch):
    training, loop = begin(recipe(stage(trainable=HEAD, epochs=20, views=2)))
    seen = 0
    features = training.model.features

    def counted(x: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += len(x)
        return features(x)

    monkeypatch.setattr(training.model, "features", counted)
    list(loop)
    assert seen == 2 * 100 + 100  # train in two views, val in one; 20 epochs cost nothing


def test_one_optimizer_step_a_batch_and_every_image_once(monkeypatch):
    training, loop = begin(recipe(stage(batch_size=16, epochs=1)))
    batches, steps = [], []
    training.model.register_forward_pre_hook(lambda m, args: batches.append(len(args[0])) if m.training else None)
    original = training.optimizer.step
    monkeypatch.setattr(training.optimizer, "step", lambda: (steps.append(1), original()))
    said = list(loop)
    assert batches == [16] * 6 + [4]
    assert len(steps) == 7 == len([p for p in of_kind(events.Progress, said) if p.phase == "train"])
    assert of_kind(events.StepLogged, said)[-1].images == 100


@pytest.mark.parametrize(
    ("images", "size", "steps"), [(100, 16, 7), (96, 16, 6), (97, 16, 6), (98, 16, 7), (5, 2, 2), (2, 64, 1)]
)
def test_no_batch_is_a_single_image(images: int, size: int, steps: int):
    assert steps_per_epoch(images, size) == steps
    last = images - (steps - 1) * size
    assert 2 <= last <= size + 1


def test_an_uneven_last_batch_weighs_as_many_images_as_it_holds():
    training, loop = begin(recipe(stage(epochs=1), log_every=1))
    said = list(loop)
    logged = of_kind(events.StepLogged, said)
    sizes = [16] * 6 + [4]
    mean = sum(event.loss * size for event, size in zip(logged, sizes, strict=True)) / 100
    assert of_kind(events.EpochEnded, said)[0].train_loss == pytest.approx(mean, rel=1e-12)
    assert training.done


def test_reports_come_when_promised_and_change_nothing():
    _, often = finish(recipe(log_every=1))
    _, seldom = finish(recipe(log_every=100))
    assert len(of_kind(events.StepLogged, often)) == 14 and len(of_kind(events.StepLogged, seldom)) == 2
    assert of_kind(events.EpochEnded, often) == [
        replace(event, train_loss=pytest.approx(event.train_loss, rel=1e-9))
        for event in of_kind(events.EpochEnded, seldom)
    ]


def test_the_schedule_warms_up_and_ends_near_nothing():
    plan = stage(epochs=10, warmup_epochs=2)
    rates = [learning_rate_factor(plan, step, 5) for step in range(50)]
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[0] == pytest.approx(1 / 11) and rates[10] == 1 and 0 < rates[-1] < 0.01
    assert learning_rate_factor(stage(epochs=10), 25, 5) == pytest.approx(0.5)


def test_the_average_follows_the_weights_and_their_statistics():
    """Two ways to the same numbers: the loop's average, and one kept by hand."""
    training, loop = begin(recipe(stage(epochs=1, ema_decay=0.5)))
    by_hand: dict[str, torch.Tensor] = {}
    for count, _ in enumerate(e for e in loop if isinstance(e, events.Progress) and e.phase == "train"):
        if training.done:
            break
        part = min(0.5, (1 + count) / (10 + count)) if count else 0.0
        for name, tensor in training.model.state_dict().items():
            if tensor.is_floating_point():
                by_hand[name] = by_hand[name] * part + tensor * (1 - part) if count else tensor.clone()
        kept = training.weights(averaged=True)
        assert all(torch.allclose(by_hand[name], kept[name], atol=1e-5) for name in by_hand)
        assert kept["bn1.num_batches_tracked"] == count + 1
    assert count == 6


def test_the_best_epoch_on_val_is_kept_averaged_or_not():
    training, said = finish(recipe(stage(epochs=4, ema_decay=0.9)))
    ended = of_kind(events.EpochEnded, said)
    tops = [max(event.val.top1, event.ema_val.top1) for event in ended]
    assert training.best.top1 == max(tops)
    assert [event.best for event in ended] == [top > max([0, *tops[:i]]) or i == 0 for i, top in enumerate(tops)]
    assert of_kind(events.StageEnded, said)[0].best_top1 == max(tops)


@pytest.mark.parametrize(("raw", "averaged"), [(0.1, 0.2), (0.2, 0.1), (0.2, 0.2)])
def test_the_better_of_weights_and_average_is_kept(raw: float, averaged: float):
    training, loop = begin(recipe(stage(ema_decay=0.9)))
    while not isinstance(next(loop), events.EpochEnded):
        pass
    training.best.top1 = -1.0  # anything is better
    tops = [events.Metrics(loss=1.0, top1=top1, top5=1.0) for top1 in (raw, averaged)]
    assert _keep_if_best(training, *tops)
    assert training.best.top1 == max(raw, averaged)
    assert same_weights(training.best.weights, training.weights(averaged=averaged >= raw))


def test_a_step_smooths_its_labels():
    """Against the definition: each class gets a hundredth of what is smoothed away."""
    training, _ = begin(recipe(stage(label_smoothing=0.3)))
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8)
    training.model.layer4[0].bn2.weight.data.fill_(1)
    log_shares = training.model(images).log_softmax(1).detach()
    expected = -(0.7 * log_shares[torch.arange(8), labels] + 0.3 * log_shares.mean(1)).mean()
    loss, hits = train_step(training, Batch(images, labels, 8)).tolist()
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    assert hits == int((log_shares.argmax(1) == labels).sum())


def test_without_val_the_last_epoch_is_kept():
    training, said = finish(recipe(val_images=0))
    assert all(event.val is None and event.best for event in of_kind(events.EpochEnded, said))
    assert same_weights(training.best.weights, training.weights())
    averaged, _ = finish(recipe(stage(ema_decay=0.9), val_images=0))
    assert same_weights(averaged.best.weights, averaged.weights(averaged=True))
    assert not same_weights(averaged.best.weights, averaged.weights())


def test_patience_ends_a_stage_and_keeps_its_best():
    hopeless = stage(epochs=50, lr=1e-6, patience=2, trainable=HEAD)
    _, said = finish(recipe(hopeless, stage(epochs=1)))
    first = of_kind(events.StageEnded, said)[0]
    tops = [event.val.top1 for event in of_kind(events.EpochEnded, said) if event.stage == 0]
    assert first.epochs == len(tops) < 50
    assert tops[-1] <= max(tops[:-2]) and tops[-2] <= max(tops[:-2])
    assert len(of_kind(events.StageEnded, said)) == 2


def test_a_loss_that_is_not_finite_names_its_step():
    training, loop = begin(recipe(stage(epochs=1), log_every=5))
    with pytest.raises(Diverged, match=r"stage 'everything', epoch 1, step 4; try .*lower --lr.*fp32"):
        for event in loop:
            if isinstance(event, events.Progress) and event.done == 3:
                training.model.fc.bias.data.fill_(math.nan)


@pytest.mark.slow
def test_whoever_pulls_may_stop_pulling_and_go_on_from_the_state():
    """Stopped at random in every phase, and each time taken up by a new object: nothing differs.

    Trains in a dozen pieces: about 6 s.
    """
    plan = staged_recipe(arch="resnet18", train_images=100)
    straight, said = finish(plan)
    pieces: list[events.Event] = []
    training, loop = begin(plan)
    dataset = result(load(plan, None, CPU))
    draw = random.Random(0)
    while (event := next(loop, None)) is not None:
        pieces.append(event)
        if draw.random() < 0.2:
            tensors, facts = training.state()
            kept = {name: tensor.clone() for name, tensor in tensors.items()}
            training = Training(build(plan, Start(None, CIFAR100, "")), plan, CPU, "fp32")
            training.restore(kept, facts)
            loop = train(training, dataset, CIFAR100)
    assert same_weights(straight.weights(), training.weights())
    assert same_weights(straight.best.weights, training.best.weights)
    for kind in (events.StageStarted, events.EpochEnded, events.StageEnded):
        assert of_kind(kind, pieces) == of_kind(kind, said)


@pytest.mark.slow
def test_early_stopping_survives_a_resume():
    """A new object at every epoch's end: it must count on, not anew."""
    plan = recipe(stage(epochs=50, lr=1e-6, patience=3, trainable=HEAD))
    _, said = finish(plan)
    training, loop = begin(plan)
    dataset = result(load(plan, None, CPU))
    epochs = 0
    while (event := next(loop, None)) is not None:
        if isinstance(event, events.EpochEnded):
            epochs += 1
            tensors, facts = training.state()
            training = Training(build(plan, Start(None, CIFAR100, "")), plan, CPU, "fp32")
            training.restore({name: tensor.clone() for name, tensor in tensors.items()}, facts)
            loop = train(training, dataset, CIFAR100)
    assert epochs == len(of_kind(events.EpochEnded, said)) < 50


def test_a_val_loss_that_is_not_finite_ends_the_run():
    training, loop = begin(recipe(stage(epochs=1)))
    with pytest.raises(Diverged, match="val loss became nan in stage 'everything', epoch 1"):
        for event in loop:
            if isinstance(event, events.Progress) and event.done == event.total:
                training.model.fc.bias.data.fill_(math.nan)


def test_a_split_of_two_images_trains():
    two = Split(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.tensor([0, 1]), DATASETS["cifar100"])
    plan = recipe(stage(batch_size=64, epochs=1))
    training = Training(build(plan, Start(None, CIFAR100, "")), plan, CPU, "fp32")
    assert list(train(training, Dataset(two, two, two), CIFAR100))
