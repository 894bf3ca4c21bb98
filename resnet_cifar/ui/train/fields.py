"""The fields of the form of a new run: the only table of what each is called, what it means and how it is typed.

Every field of Recipe, Stage, Change and Augmentation has a line here; a test holds that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from resnet_cifar.engine.optimizer import OPTIMIZERS
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.augmentation import FLIPS, Augmentation
from resnet_cifar.recipe.config import EVERYTHING, PRECISIONS, SCHEDULES, STEMS, Change, Recipe, Stage
from resnet_cifar.recipe.datasets import DATASETS, OWN

Kind = Literal["whole", "number", "choice", "yes", "text", "long", "groups", "weights"]
YES, NO = "yes", "no"
_ARCHS = tuple(ARCHITECTURES)


@dataclass(frozen=True, slots=True)
class Field:
    """A field as the page shows it. What is typed is text; `parsed` turns it into a value."""

    name: str
    title: str
    help: str
    kind: Kind = "number"
    choices: tuple[str, ...] = ()
    empty: str | None = None
    """What an empty field means, which is None; without it, the field cannot be empty."""
    section: str = ""
    """Heading under Advanced; empty: always in sight."""


def _under(section: str, *fields: Field) -> tuple[Field, ...]:
    return tuple(replace(field, section=section) for field in fields)


def text_of(field: Field, value: Any) -> str:
    """Return a value as it is typed."""
    if value is None:
        return ""
    if field.kind == "yes":
        return YES if value else NO
    if field.kind == "groups":
        return " ".join(value)
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)


def parsed(field: Field, text: str) -> Any:
    """Return the value that was typed. Raises UserError, naming the field as the page does."""
    text = text.strip()
    if not text and field.empty is not None:
        return None
    if field.kind == "groups":
        return tuple(text.split())
    if field.kind == "yes":
        return text == YES
    if field.choices and text not in field.choices:
        raise UserError(f"{field.title} is {text!r}; it must be one of {', '.join(field.choices)}.")
    if field.kind not in ("whole", "number"):
        return text
    expected = "a whole number" if field.kind == "whole" else "a number"
    try:
        return int(text) if field.kind == "whole" else float(text)
    except ValueError as error:
        problem = f"is {text!r}; it must be {expected}" if text else f"is empty; enter {expected}"
        raise UserError(f"{field.title} {problem}.") from error


_RECIPE = (
    *_under(
        "Network",
        Field("arch", "Architecture", "The network; tiny trains in seconds and learns little.", "choice", _ARCHS),
        Field(
            "stem",
            "Stem",
            "First layers: stock shrinks images fourfold, cifar keeps small ones whole.",
            "choice",
            STEMS,
        ),
        Field(
            "init", "Initial weights", "scratch (random), imagenet (downloaded once), a model, or a path.", "weights"
        ),
        Field(
            "teacher",
            "Teacher",
            "Model, or path, whose answers are learned too (distillation).",
            "weights",
            empty="none",
        ),
        Field("distillation_weight", "Teacher's weight", "Share of the teacher's answers in what is learned."),
    ),
    *_under(
        "Data",
        Field(
            "data",
            "Data",
            "CIFAR-100, synthetic images, which need no download, or your own; for these, choose their recipe first.",
            "choice",
            (*DATASETS, OWN),
        ),
        Field("train_images", "Train images", "Images to learn from, as many of each class.", "whole", empty="all"),
        Field("val_images", "Val images", "Train images held out to choose the best epoch; 0: keep the last.", "whole"),
    ),
    *_under(
        "Run",
        Field("seed", "Seed", "Start of all random draws; on a CPU, the same seed gives the same run.", "whole"),
        Field(
            "precision", "Precision", "bf16 is fast where supported, fp32 is exact; auto chooses.", "choice", PRECISIONS
        ),
        Field("log_every", "Log every", "Steps between two points of the curves.", "whole"),
        Field("name", "Recipe name", "Runs without a name of their own are numbered after it.", "text"),
        Field("about", "Purpose", "What the recipe is for, in a few words.", "text"),
    ),
)

_STAGE = (
    Field("name", "Stage", "Name of the stage, in curves and tables.", "text"),
    Field("trainable", "Learns", "Groups of the network that learn; the rest is frozen, to the last bit.", "groups"),
    Field("epochs", "Epochs", "How often the stage goes through all train images.", "whole"),
    Field("lr", "Learning rate", "Size of a step at its peak, for the head and all that has no other rate."),
    Field(
        "image_size", "Image size", "Pixels per side that the network sees; smaller images are enlarged to it.", "whole"
    ),
    Field("batch_size", "Batch size", "Images per step.", "whole"),
    *_under(
        "Learning",
        Field("backbone_lr", "Backbone rate", "Peak learning rate of layer4.", empty="as the head"),
        Field("layer_decay", "Layer decay", "Rate of each earlier group, as a fraction of the next group's."),
        Field(
            "optimizer",
            "Optimizer",
            "adamw needs about a hundredth of sgd's learning rate.",
            "choice",
            tuple(OPTIMIZERS),
        ),
        Field(
            "schedule", "Schedule", "How the rate falls to 0: half a cosine, or a straight line.", "choice", SCHEDULES
        ),
        Field("warmup_epochs", "Warm-up", "Epochs in which the learning rate rises from 0."),
        Field(
            "patience",
            "Early stopping",
            "Ends a stage after so many epochs without a better val top-1; 0: never.",
            "whole",
        ),
    ),
    *_under(
        "Regularization",
        Field("weight_decay", "Weight decay", "Pull of the weights towards 0."),
        Field("label_smoothing", "Label smoothing", "Share of the target that all classes get alike."),
        Field("ema_decay", "EMA decay", "Share that each step keeps of the averaged weights; 0: no average."),
    ),
    *_under(
        "Augmentation",
        Field("no_mix_fraction", "Unmixed end", "Last fraction of the epochs, without mixup and CutMix."),
        Field("views", "Views", "If only fc learns: cached versions of each image; 0: new ones every epoch.", "whole"),
    ),
)

_CHANGE = (
    Field("after", "After", "Fraction of the stage's epochs that come before this change."),
    Field("image_size", "Image size", "Pixels per side from then on.", "whole", empty="as before"),
)

_AUGMENTATION = _under(
    "Augmentation",
    Field("crop_padding", "Shift", "Largest shift of an image, as a fraction of its side."),
    Field("flip", "Flip", "Mirrors images: at random, or in every other epoch (alternating).", "choice", FLIPS),
    Field("random_erasing", "Erasing", "Probability of a grey rectangle."),
    Field("mixup", "Mixup", "Probability of blending two images and their labels."),
    Field("cutmix", "CutMix", "Probability of a piece of another image, with its share of the label."),
    Field("trivial_augment", "TrivialAugment", "One random operation on each image, such as a rotation.", "yes"),
)

FIELDS: dict[type, tuple[Field, ...]] = {Recipe: _RECIPE, Stage: _STAGE, Change: _CHANGE, Augmentation: _AUGMENTATION}

PARTS = {Recipe: ("stages", "own"), Stage: ("augmentation", "progression"), Change: ("augmentation",), Augmentation: ()}
"""Fields that hold other dataclasses. Their own fields are in the table, except those of `own`, which are kept."""

OF_RUN = (
    Field("name", "Run name", "Name of the run's folder.", "text", empty="numbered after the recipe"),
    Field("notes", "Notes", "Whatever is worth remembering; shown here only, never published.", "long", empty=""),
    *_under("Data", Field("data_dir", "Data folder", "Contains cifar-100-python.", "text", empty="downloaded once")),
)
"""Fields of the run, which no recipe holds."""

LEARNS: Mapping[str, tuple[str, ...]] = {"everything": EVERYTHING} | {
    f"{EVERYTHING[first]} to fc" if first < 5 else "fc (the head)": EVERYTHING[first:] for first in range(5, 0, -1)
}
"""Usual choices of groups that learn."""
