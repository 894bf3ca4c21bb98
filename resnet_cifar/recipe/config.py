"""Recipes: frozen descriptions of a run, validated on creation. They hold no tensors, devices or open files."""

import dataclasses
import json
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Literal, get_args

from resnet_cifar import decode
from resnet_cifar.errors import UserError
from resnet_cifar.paths import check_path
from resnet_cifar.recipe import limits
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.datasets import DATASETS, OWN, DatasetSpec, OwnData, check_own
from resnet_cifar.recipe.limits import IMAGE_SIZES, SMALLEST_STOCK, check_name, check_one_of, check_range

Group = Literal["stem", "layer1", "layer2", "layer3", "layer4", "fc"]
EVERYTHING: tuple[Group, ...] = get_args(Group)
HEAD: tuple[Group, ...] = ("fc",)

STEMS = ("stock", "cifar")
PRECISIONS = ("auto", "bf16", "fp32")
SCHEDULES = ("cosine", "linear")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Settings that take effect later in a stage; None keeps the previous value."""

    after: float
    """Fraction of the stage's epochs that come before the change, rounded to whole epochs."""
    image_size: int | None = None
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        check_range("progression: after", self.after, 0.001, 0.999)
        if self.image_size is not None:
            check_range("progression: image_size", self.image_size, *IMAGE_SIZES)


@dataclass(frozen=True)
class EpochSettings:
    """Settings of a single epoch."""

    image_size: int
    augmentation: Augmentation


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Epochs in which the same groups of the network are trainable."""

    name: str
    epochs: int
    lr: float
    """Peak learning rate of the head."""
    backbone_lr: float | None = None
    """Peak learning rate of layer4; None: that of the head."""
    layer_decay: float = 1.0
    """Learning rate of each group before layer4, as a fraction of the next group's."""
    trainable: tuple[Group, ...] = EVERYTHING
    """Trainable groups; the rest is frozen, including its BatchNorm statistics."""
    views: int = 2
    """If only the head is trainable: number of augmented views of each image whose features are computed once and
    cached. 0: no cache; every epoch augments anew and runs the whole network."""
    batch_size: int = 128
    image_size: int = 32
    augmentation: Augmentation = AUGMENTATIONS["flip"]
    progression: tuple[Change, ...] = ()
    """Later image sizes and augmentations, in order. The optimizer and the learning-rate schedule continue; the EMA
    restarts from the current weights when the size changes, because BatchNorm statistics depend on it."""
    no_mix_fraction: float = 0.0
    """Last fraction of the epochs, without mixup and CutMix; rounded to whole epochs."""
    optimizer: str = "sgd"
    """A name in `engine/optimizer.py`; sgd has Nesterov momentum of 0.9."""
    schedule: str = "cosine"
    """Shape of the learning rate after warm-up: half a cosine or a straight line, down to 0."""
    warmup_epochs: float = 0.0
    """Epochs, not necessarily whole, in which the learning rate rises to its peak."""
    weight_decay: float = 5e-4
    """Weight decay of convolutions and of the head's weights; biases and BatchNorm have none."""
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    """Decay per step of the exponential moving average (EMA) of the weights; 0: no EMA."""
    patience: int = 0
    """Epochs without a better val top-1 after which the stage stops early; 0: never."""

    def __post_init__(self) -> None:
        limits.check_text("the name of a stage", self.name, 64, 1)
        for name, low, high in (
            ("epochs", 1, 10_000),
            ("lr", 1e-6, 10),
            ("layer_decay", 0.01, 1),
            ("views", 0, 64),
            ("batch_size", 2, 65_536),
            ("image_size", *IMAGE_SIZES),
            ("no_mix_fraction", 0, 1),
            ("warmup_epochs", 0, self.epochs),
            ("weight_decay", 0, 1),
            ("label_smoothing", 0, 0.9),
            ("ema_decay", 0, 0.99999),
            ("patience", 0, 10_000),
        ):
            check_range(f"{self.name}: {name}", getattr(self, name), low, high)
        check_one_of(f"{self.name}: schedule", self.schedule, SCHEDULES)
        if self.backbone_lr is not None:
            check_range(f"{self.name}: backbone_lr", self.backbone_lr, 1e-7, 10)
        if not self.trainable:
            raise UserError(f"{self.name}: trainable is empty; name at least one of {', '.join(EVERYTHING)}.")
        for group in self.trainable:
            check_one_of(f"{self.name}: trainable", group, EVERYTHING)
        limits.check_distinct(f"{self.name}: trainable", self.trainable)
        check_range(f"{self.name}: number of changes", len(self.progression), 0, limits.MOST_PARTS)
        starts = [change.after for change in self.progression]
        if starts != sorted(set(starts)):
            raise UserError(f"{self.name}: progression has changes after {starts}; put them in ascending order.")
        if self.caches_features and (self.augmentation.mixes or self.progression):
            raise UserError(
                f"{self.name}: the features of {self.views} views are computed once, so neither mixup, cutmix nor "
                "a progression can be used; set views to 0, or remove them."
            )

    @property
    def caches_features(self) -> bool:
        """Whether the stage trains the head on cached features of the frozen backbone."""
        return self.trainable == HEAD and self.views > 0

    def at(self, epoch: int) -> EpochSettings:
        """Return the settings of an epoch, counted from 0."""
        size, augmentation = self.image_size, self.augmentation
        for change in self.progression:
            if epoch >= round(change.after * self.epochs):
                size, augmentation = change.image_size or size, change.augmentation or augmentation
        if epoch >= self.epochs - round(self.no_mix_fraction * self.epochs):
            augmentation = dataclasses.replace(augmentation, mixup=0.0, cutmix=0.0)
        return EpochSettings(size, augmentation)

    def parts(self) -> "tuple[Stage, ...]":
        """Split the stage where its settings change: each part has one image size and one augmentation.

        Only for costs and descriptions: the parts' learning-rate schedules are not that of the stage.
        """
        plain = dataclasses.replace(self, progression=(), no_mix_fraction=0.0, warmup_epochs=0.0)
        changes = [round(change.after * self.epochs) for change in self.progression]
        borders = {0, *changes, self.epochs - round(self.no_mix_fraction * self.epochs), self.epochs}
        pieces = [(self.at(start), end - start) for start, end in pairwise(sorted(borders))]
        return tuple(
            dataclasses.replace(plain, epochs=sum(length for _, length in same), **vars(settings))
            for settings, same in groupby(pieces, lambda piece: piece[0])
        )

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Image sizes in the order of training."""
        return tuple(size for size, _ in groupby(part.image_size for part in self.parts()))

    def changed(self, **changes: Any) -> "Stage":
        """Return a copy with other values.

        Values that depend on `epochs` or `lr` keep their proportion; a new `image_size` applies to all epochs.
        """
        if "image_size" in changes:
            progression = tuple(dataclasses.replace(change, image_size=None) for change in self.progression)
            changes = {"progression": progression} | changes
        if "epochs" in changes:
            changes = {"warmup_epochs": self.warmup_epochs * changes["epochs"] / self.epochs} | changes
        if "lr" in changes and self.backbone_lr is not None:
            changes = {"backbone_lr": self.backbone_lr * changes["lr"] / self.lr} | changes
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that determines the result of a run. On the same CPU, a recipe gives identical runs, bit for bit."""

    name: str
    about: str = ""
    stages: tuple[Stage, ...]
    arch: str = "resnet34"
    stem: str = "stock"
    """stock: 7x7, stride 2, max-pool; cifar: 3x3, stride 1, no pool."""
    init: str = "scratch"
    """scratch, imagenet, or the path of a checkpoint folder, a .safetensors file or a torchvision .pth file."""
    teacher: str | None = None
    """Path of a checkpoint folder whose probabilities are part of the targets, except in stages that cache features."""
    distillation_weight: float = 0.5
    """Weight of the teacher's probabilities in the targets; the rest is that of the labels."""
    data: str = "cifar100"
    own: OwnData | None = None
    """Facts about a person's own images; None for any other data."""
    train_images: int | None = None
    """Size of a class-balanced subset of train; None: all images."""
    val_images: int = 5_000
    """Images held out from train, to choose the best epoch; 0: keep the last epoch."""
    seed: int = 0
    precision: str = "auto"
    log_every: int = 50
    """Steps between two StepLogged events; only these wait for the device."""

    def __post_init__(self) -> None:
        check_name("recipe", self.name)
        limits.check_text("about", self.about, 4000)
        check_path(self.init)
        check_path(self.teacher or "")
        check_range("number of stages", len(self.stages), 1, limits.MOST_PARTS)
        check_range("val_images", self.val_images, 0, 25_000)
        check_range("distillation_weight", self.distillation_weight, 0, 1)
        check_range("seed", self.seed, 0, 2**31 - 1)
        check_range("log_every", self.log_every, 1, 100_000)
        check_one_of("arch", self.arch, tuple(ARCHITECTURES))
        check_one_of("stem", self.stem, STEMS)
        check_one_of("data", self.data, (*DATASETS, OWN))
        check_own(self.data, self.own, self.train_images, self.val_images)
        check_one_of("precision", self.precision, PRECISIONS)
        total = self.dataset.train_images
        if self.train_images is not None:
            check_range("train_images", self.train_images, 100, total)
        if self.val_images + (least := self.train_images or (2 if self.own else 100)) > total:
            raise UserError(
                f"{self.val_images} val images and at least {least} train images exceed the {total} of the data set; "
                "lower --val-images or --train-images."
            )
        for stage in self.stages:
            if self.stem == "stock" and (smallest := min(stage.image_sizes)) < SMALLEST_STOCK:
                raise UserError(
                    f"{stage.name}: image_size is {smallest}; with the stock stem, which downsamples by 32, it must be "
                    f"at least {SMALLEST_STOCK}."
                )
        if self.init == "imagenet" and self.stem != "stock":
            raise UserError(f"ImageNet weights need the stock stem; recipe {self.name!r} has the {self.stem} stem.")
        if self.init == "imagenet" and not ARCHITECTURES[self.arch].known_elsewhere:
            raise UserError(f"there are no ImageNet weights for arch {self.arch!r}; use another, or --init scratch.")

    @property
    def dataset(self) -> DatasetSpec:
        """Fixed facts about the data set."""
        return self.own.spec() if self.own is not None else DATASETS[self.data]

    def to_json(self) -> str:
        """Write the recipe as an indented JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Parse a recipe; fields that have a default may be omitted.

        Raises UserError, naming the field and its value, if a field is unknown, missing or of the wrong type.
        """
        return decode.build(cls, decode.parse(text, "this is not a recipe: it"), "recipe")
