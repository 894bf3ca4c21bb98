"""What differs between recipes, field by field, in the words of the page.

A value that follows another one is not listed: a warm-up that keeps its part of the epochs, for example, when only
the number of epochs was changed. So one change is one line.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import PurePath
from typing import Any

from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.config import EVERYTHING, HEAD, Recipe, Stage

Difference = tuple[str, tuple[str, ...]]
"""The field, and its value in each recipe."""

_NONE = "none"
_AUGMENTATION = "Augmentation"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.6g} %"


def _name(path: str | None) -> str:
    return PurePath(path).name if path else _NONE  # never the folder: the page may be public


def _learns(stage: Stage) -> str:
    return "everything" if stage.trainable == EVERYTHING else ", ".join(stage.trainable)


def _image_size(stage: Stage) -> str:
    later = (f", {one.image_size} px after {_percent(one.after)}" for one in stage.progression if one.image_size)
    return f"{stage.image_size} px" + "".join(later)


def _augmentation(stage: Stage) -> str:
    later = (
        f", {_named(one.augmentation)} after {_percent(one.after)}" for one in stage.progression if one.augmentation
    )
    return _named(stage.augmentation) + "".join(later)


def _named(augmentation: Augmentation) -> str:
    """Return the augmentation's name, or what it consists of."""
    if augmentation in AUGMENTATIONS.values():
        return next(name for name, known in AUGMENTATIONS.items() if known == augmentation)
    parts = augmentation_facts(augmentation).items()  # of parts that are off, nothing is said
    return "; ".join(_brief_part(word, text) for word, text in parts if text not in (_NONE, "0 %", "no"))


def _brief_part(word: str, text: str) -> str:
    name = word if word in _PART_WORDS.values() else word.lower()
    return name if text == "yes" else f"{name} {text}"


def _data(recipe: Recipe) -> str:
    """Name the data; a person's own images by their classes, and by a part of their digest that tells them apart."""
    if recipe.own is None:
        return recipe.data
    return f"own images of {len(recipe.own.labels)} classes ({recipe.own.fingerprint[:6]})"


_RECIPE: dict[str, Callable[[Recipe], str]] = {
    "Architecture": lambda recipe: recipe.arch,
    "Stem": lambda recipe: recipe.stem,
    "Initial weights": lambda recipe: _name(recipe.init),
    "Teacher": lambda recipe: _name(recipe.teacher),
    "Weight of the teacher": lambda recipe: _number(recipe.distillation_weight),
    "Data": lambda recipe: _data(recipe),
    "Train images": lambda recipe: "all" if recipe.train_images is None else f"{recipe.train_images:,}",
    "Val images": lambda recipe: f"{recipe.val_images:,}",
    "Seed": lambda recipe: str(recipe.seed),
    "Precision": lambda recipe: recipe.precision,
    "Steps between log lines": lambda recipe: str(recipe.log_every),
}
_STAGE: dict[str, Callable[[Stage], str]] = {
    "Epochs": lambda stage: str(stage.epochs),
    "Learns": _learns,
    "Learning rate": lambda stage: _number(stage.lr),
    "Backbone learning rate": lambda stage: "as the head" if stage.backbone_lr is None else _number(stage.backbone_lr),
    "Layer decay": lambda stage: _number(stage.layer_decay),
    "Batch size": lambda stage: str(stage.batch_size),
    "Image size": _image_size,
    _AUGMENTATION: _augmentation,
    "Epochs without mixing": lambda stage: (
        f"last {_percent(stage.no_mix_fraction)}" if stage.no_mix_fraction else _NONE
    ),
    "Cached views": lambda stage: str(stage.views) if stage.caches_features else _NONE,
    "Optimizer": lambda stage: stage.optimizer,
    "Schedule": lambda stage: stage.schedule,
    "Warm-up epochs": lambda stage: _number(stage.warmup_epochs),
    "Weight decay": lambda stage: _number(stage.weight_decay),
    "Label smoothing": lambda stage: _number(stage.label_smoothing),
    "EMA decay": lambda stage: _number(stage.ema_decay) if stage.ema_decay else _NONE,
    "Early stopping": lambda stage: f"after {stage.patience} epochs" if stage.patience else _NONE,
}
_PARTS: dict[str, Callable[[Any], str]] = {
    "crop_padding": _percent,
    "flip": str,
    "random_erasing": _percent,
    "mixup": _percent,
    "cutmix": _percent,
    "trivial_augment": lambda used: "yes" if used else "no",
}
_PART_WORDS = {"cutmix": "CutMix", "trivial_augment": "TrivialAugment"}


def recipe_facts(recipe: Recipe) -> dict[str, str]:
    """Return what holds for all stages of a recipe, as text by field. Of paths, only the last part."""
    return {word: text(recipe) for word, text in _RECIPE.items()}


def stage_facts(stage: Stage) -> dict[str, str]:
    """Return the settings of a stage, as text by field."""
    return {word: text(stage) for word, text in _STAGE.items()}


def augmentation_facts(augmentation: Augmentation) -> dict[str, str]:
    """Return the parts of an augmentation, as text by field."""
    return {
        _PART_WORDS.get(field.name, field.name.replace("_", " ").capitalize()): _PARTS[field.name](
            getattr(augmentation, field.name)
        )
        for field in fields(augmentation)
    }


def summary(recipe: Recipe) -> dict[str, str]:
    """Return all fields of a recipe as text, one line each: of a stage's settings, the value in each stage in turn."""
    stages = [stage_facts(stage) for stage in recipe.stages]
    in_turn = {word: [facts[word] for facts in stages] for word in _STAGE}
    return {word: texts[0] if len(set(texts)) == 1 else " / ".join(texts) for word, texts in in_turn.items()} | (
        recipe_facts(recipe)
    )


def differences(recipes: Sequence[Recipe]) -> list[Difference]:
    """List the fields in which recipes differ, with the value in each. Names and descriptions do not count."""
    found = list(_differing("", [recipe_facts(recipe) for recipe in recipes]))
    numbers = {len(recipe.stages) for recipe in recipes}
    if len(numbers) == 1:  # the same number of stages: compared in turn, whatever they are called
        for number, stages in enumerate(zip(*(recipe.stages for recipe in recipes), strict=True), 1):
            alone = numbers == {1}
            names = [stage.name for stage in stages]
            prefix = "" if alone else f"Stage {number}: " if len(set(names)) > 1 else f"{names[0]}: "
            found += _of_stages(prefix, stages)
    elif numbers:
        found += _by_name(recipes)
    return found


def _by_name(recipes: Sequence[Recipe]) -> Iterator[Difference]:
    """Compare the stages of recipes that have different numbers of them: those that have the same name."""
    named = [_numbered(recipe.stages) for recipe in recipes]
    for name in dict.fromkeys(name for stages in named for name in stages):
        there = [stages.get(name) for stages in named]
        if None in there:
            yield f"Stage {name}", tuple(_brief(stage) if stage else _NONE for stage in there)
        else:
            yield from _of_stages(f"{name}: ", [stage for stage in there if stage])


def _numbered(stages: Sequence[Stage]) -> dict[str, Stage]:
    """Return stages by name; the second one of a name gets a number."""
    seen: Counter[str] = Counter()
    named = {}
    for stage in stages:
        seen[stage.name] += 1
        named[stage.name if seen[stage.name] == 1 else f"{stage.name} {seen[stage.name]}"] = stage
    return named


def _brief(stage: Stage) -> str:
    return f"{stage.epochs} epoch{'s' if stage.epochs > 1 else ''} of {_learns(stage)}"


def _of_stages(prefix: str, stages: Sequence[Stage]) -> Iterator[Difference]:
    yield from _differing(prefix, [{"Name": stage.name} for stage in stages])
    follows = {
        "Backbone learning rate": _all_equal(stage.backbone_lr and stage.backbone_lr / stage.lr for stage in stages),
        "Warm-up epochs": _all_equal(stage.warmup_epochs / stage.epochs for stage in stages),
        # mixed images have no features that could be cached, so for them the page sets it to 0
        "Cached views": _all_equal(
            stage.views for stage in stages if not (stage.trainable == HEAD and stage.augmentation.mixes)
        ),
    }
    for word, texts in _differing("", [stage_facts(stage) for stage in stages]):
        if word == _AUGMENTATION:
            yield from _of_augmentations(prefix, stages, texts)
        elif not follows.get(word):
            yield prefix + word, texts


def _of_augmentations(prefix: str, stages: Sequence[Stage], texts: tuple[str, ...]) -> Iterator[Difference]:
    """Compare by name if all have one, otherwise part by part unless they change within the stage."""
    changing = any(change.augmentation for stage in stages for change in stage.progression)
    if changing or all(stage.augmentation in AUGMENTATIONS.values() for stage in stages):
        yield prefix + _AUGMENTATION, texts
    else:
        yield from _differing(prefix, [augmentation_facts(stage.augmentation) for stage in stages])


def _all_equal(values: Iterator[float | None]) -> bool:
    return len({value if value is None else float(f"{value:.9g}") for value in values}) <= 1


def _differing(prefix: str, facts: Sequence[Mapping[str, str]]) -> Iterator[Difference]:
    for word in facts[0] if facts else ():
        texts = tuple(one[word] for one in facts)
        if len(set(texts)) > 1:
            yield prefix + word, texts
