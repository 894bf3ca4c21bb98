"""Recipes: frozen descriptions of a run, checked when they are made; they hold no tensors, devices or open files."""

import dataclasses
import json
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, get_args

from resnet_cifar.errors import UserError
from resnet_cifar.recipe import typed_json
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.augmentation import AUGMENTATIONS, Augmentation
from resnet_cifar.recipe.datasets import DATASETS, DatasetSpec
from resnet_cifar.recipe.limits import check_name, check_one_of, check_range

Group = Literal["stem", "layer1", "layer2", "layer3", "layer4", "fc"]
EVERYTHING: tuple[Group, ...] = get_args(Group)
HEAD: tuple[Group, ...] = ("fc",)

STEMS = ("stock", "cifar")
_IMAGE_SIZES = (16, 512)
# Below, layer4 gets single pixels; and oneDNN leaves some gradients of strided convolutions over those unwritten.
_SMALLEST_STOCK = 32
PRECISIONS = ("auto", "bf16", "fp32")
SCHEDULES = ("cosine", "linear")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Settings that take effect later in a stage; None keeps what was in effect before."""

    after: float
    """Fraction of the stage's epochs that come before; rounded to whole epochs."""
    image_size: int | None = None
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        check_range("progression: after", self.after, 0.001, 0.999)
        if self.image_size is not None:
            check_range("progression: image_size", self.image_size, *_IMAGE_SIZES)


@dataclass(frozen=True, slots=True)
class EpochSettings:
    """Settings of a single epoch."""

    image_size: int
    augmentation: Augmentation


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A stretch of epochs in which the same parts of the network learn."""

    name: str
    epochs: int
    lr: float
    """Peak learning rate of the head."""
    backbone_lr: float | None = None
    """Peak learning rate of layer4; None: the head's."""
    layer_decay: float = 1.0
    """What each group further from the head learns at, relative to the one after it."""
    trainable: tuple[Group, ...] = EVERYTHING
    """The groups that learn; the rest is frozen, BatchNorm statistics too."""
    views: int = 2
    """Where only the head learns: augmented views of each image whose features are computed once and then
    trained on. 0: new ones every epoch, at the cost of a forward pass each."""
    batch_size: int = 128
    image_size: int = 32
    augmentation: Augmentation = AUGMENTATIONS["flip"]
    progression: tuple[Change, ...] = ()
    """Later image sizes and augmentations, in order. Optimizer and learning-rate schedule run through; the averaged
    weights start again from the current ones where the size changes, because BatchNorm statistics depend on it."""
    no_mix_fraction: float = 0.0
    """Last fraction of the epochs, in which images are not mixed; rounded to whole epochs."""
    optimizer: str = "sgd"
    """SGD with Nesterov momentum 0.9, unless another name of `engine/optimizer.py` is given."""
    schedule: str = "cosine"
    """Shape of the learning rate after warm-up: half a cosine or a straight line, down to 0."""
    warmup_epochs: float = 0.0
    """Epochs, or a fraction of one, in which the learning rate climbs to its peak."""
    weight_decay: float = 5e-4
    """For weights; biases and norms have none."""
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    """Decay per step of the exponential moving average of the weights; 0: no average."""
    patience: int = 0
    """Epochs without a better val top-1 after which the stage ends early; 0: never."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 10_000),
            ("lr", 1e-6, 10),
            ("layer_decay", 0.01, 1),
            ("views", 0, 64),
            ("batch_size", 2, 65_536),
            ("image_size", *_IMAGE_SIZES),
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
        starts = [change.after for change in self.progression]
        if starts != sorted(set(starts)):
            raise UserError(f"{self.name}: progression begins after {starts} of the epochs; put it in order.")
        if self.caches_features and (self.augmentation.mixes or self.progression):
            raise UserError(
                f"{self.name}: the features of {self.views} views are computed once, so neither mixup, cutmix nor "
                "a progression can be used; set views to 0, or leave them out."
            )

    @property
    def caches_features(self) -> bool:
        """Whether the backbone stands still, so that its features need computing only once."""
        return self.trainable == HEAD and self.views > 0

    def at(self, epoch: int) -> EpochSettings:
        """Settings of an epoch, counted from 0."""
        size, augmentation = self.image_size, self.augmentation
        for change in self.progression:
            if epoch >= round(change.after * self.epochs):
                size, augmentation = change.image_size or size, change.augmentation or augmentation
        if epoch >= self.epochs - round(self.no_mix_fraction * self.epochs):
            augmentation = dataclasses.replace(augmentation, mixup=0.0, cutmix=0.0)
        return EpochSettings(size, augmentation)

    def parts(self) -> "tuple[Stage, ...]":
        """The stage split where its settings change: stages of one image size and one augmentation each.

        Their schedules are not the whole stage's; for costs and descriptions only.
        """
        plain = dataclasses.replace(self, progression=(), no_mix_fraction=0.0, warmup_epochs=0.0)
        return tuple(
            dataclasses.replace(
                plain, epochs=len(list(epochs)), image_size=settings.image_size, augmentation=settings.augmentation
            )
            for settings, epochs in groupby(range(self.epochs), self.at)
        )

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Image sizes in the order in which they are trained at."""
        return tuple(size for size, _ in groupby(part.image_size for part in self.parts()))

    def changed(self, **changes: Any) -> "Stage":
        """The stage with other values.

        What depends on `epochs` or `lr` keeps its proportion; a new `image_size` holds for all epochs.
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
    """All that decides what a run learns. The same recipe on the same CPU gives the same run, to the bit."""

    name: str
    about: str = ""
    stages: tuple[Stage, ...]
    arch: str = "resnet34"
    stem: str = "stock"
    """stock: 7x7, stride 2, max-pool; cifar: 3x3, stride 1, no pool."""
    init: str = "scratch"
    """scratch, imagenet, or the path of a checkpoint folder, a .safetensors or a torchvision .pth."""
    teacher: str | None = None
    """The path of a checkpoint folder, whose probabilities are learned too wherever images are gone through."""
    distillation_weight: float = 0.5
    """Weight of the teacher's probabilities in the targets; the labels have the rest."""
    data: str = "cifar100"
    train_images: int | None = None
    """A class-balanced part of train; None: all of it."""
    val_images: int = 5_000
    """Cut from train to choose the best epoch with; 0: the last epoch is kept."""
    seed: int = 0
    precision: str = "auto"
    log_every: int = 50
    """Steps between two reports; the device is waited for only then."""

    def __post_init__(self) -> None:
        check_name("recipe", self.name)
        if not self.stages:
            raise UserError(f"recipe {self.name!r} has no stages; it needs at least one.")
        check_one_of("arch", self.arch, tuple(ARCHITECTURES))
        check_one_of("stem", self.stem, STEMS)
        check_one_of("data", self.data, tuple(DATASETS))
        check_one_of("precision", self.precision, PRECISIONS)
        if self.train_images is not None:
            check_range("train_images", self.train_images, 100, self.dataset.train_images)
        check_range("val_images", self.val_images, 0, 25_000)
        least, there = self.train_images or 100, self.dataset.train_images
        if self.val_images + least > there:
            raise UserError(
                f"{self.val_images} val images and at least {least} train images are asked for, of {there} in all; "
                "lower --val-images or --train-images."
            )
        for stage in self.stages:
            if self.stem == "stock" and (smallest := min(stage.image_sizes)) < _SMALLEST_STOCK:
                raise UserError(
                    f"{stage.name}: image_size is {smallest}; with the stock stem, which makes 1 pixel of 32, "
                    f"it must be {_SMALLEST_STOCK} at least."
                )
        if self.init == "imagenet" and self.stem != "stock":
            raise UserError(f"ImageNet weights need the stock stem; recipe {self.name!r} has the {self.stem} stem.")
        if self.init == "imagenet" and not ARCHITECTURES[self.arch].known_elsewhere:
            raise UserError(f"there are no ImageNet weights for arch {self.arch!r}; use another, or --init scratch.")
        check_range("distillation_weight", self.distillation_weight, 0, 1)
        check_range("seed", self.seed, 0, 2**31 - 1)
        check_range("log_every", self.log_every, 1, 100_000)

    @property
    def dataset(self) -> DatasetSpec:
        """Facts of the data set."""
        return DATASETS[self.data]

    def to_json(self) -> str:
        """The recipe as a JSON object, indented for people."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Parse a recipe; fields that have a default may be left out.

        Raises UserError that names the field and its value where one is unknown, missing or of the wrong type.
        """
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise UserError(f"this is not a recipe: it is not JSON ({error}).") from error
        return typed_json.build(cls, fields, "recipe")
