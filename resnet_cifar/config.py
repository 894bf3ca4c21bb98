"""Recipes: frozen descriptions of a run, checked when they are made; they hold no tensors, devices or open files."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from resnet_cifar.errors import UserError

Group = Literal["stem", "layer1", "layer2", "layer3", "layer4", "fc"]
EVERYTHING: tuple[Group, ...] = get_args(Group)
HEAD: tuple[Group, ...] = ("fc",)

ARCHITECTURES = ("resnet18", "resnet34")
STEMS = ("stock", "cifar")
DATASETS = {"cifar100": 50_000, "synthetic": 10_000}
"""What there is to learn from, and how many pictures each has."""
# Below, layer4 gets single pixels; and oneDNN leaves some gradients of strided convolutions over those unwritten.
_SMALLEST_STOCK = 32
PRECISIONS = ("auto", "bf16", "fp32")


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also refuses NaN
        raise UserError(f"{name} is {value}; it must lie between {low:g} and {high:g}.")


def _check_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Augment:
    """The random changes of a training batch; the default changes nothing."""

    crop: int = 0
    """Pixels, of the 32, by which a picture is shifted at most; what comes in is mirrored at the edge."""
    flip: bool = False
    """Mirror left and right with probability 1/2."""
    erase: float = 0.0
    """Probability of blanking one rectangle (random erasing, Zhong et al. 2017)."""
    mixup: float = 0.0
    """Probability of blending two pictures and their labels (Zhang et al. 2017)."""
    cutmix: float = 0.0
    """Probability of pasting a rectangle of another picture (Yun et al. 2019)."""
    trivial: bool = False
    """One random change of shape or colour each, of random strength (TrivialAugment, Mueller and Hutter 2021)."""

    def __post_init__(self) -> None:
        _check("augment.crop", self.crop, 0, 16)
        for name in ("erase", "mixup", "cutmix"):
            _check(f"augment.{name}", getattr(self, name), 0, 1)
        _check("augment.mixup + augment.cutmix", self.mixup + self.cutmix, 0, 1)

    @property
    def mixes(self) -> bool:
        """Whether labels become blends of two classes."""
        return self.mixup + self.cutmix > 0


AUGMENTS = {
    "none": Augment(),
    "flip": Augment(flip=True),
    "standard": Augment(flip=True, crop=4),
    "erase": Augment(flip=True, crop=4, erase=0.25),
    "trivial": Augment(flip=True, crop=4, erase=0.25, trivial=True),
    "strong": Augment(flip=True, crop=4, erase=0.25, mixup=0.4, cutmix=0.4),
    "strongest": Augment(flip=True, crop=4, erase=0.25, mixup=0.4, cutmix=0.4, trivial=True),
}


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
    """Where only the head learns: augmented views of each picture whose features are computed once and then
    trained on. 0: new ones every epoch, at the cost of a forward pass each."""
    batch_size: int = 128
    image_size: int = 32
    augment: Augment = AUGMENTS["flip"]
    unmixed: float = 0.0
    """The last part of the epochs, in which pictures are no longer mixed."""
    warmup_epochs: float = 0.0
    """Epochs, or a part of one, in which the learning rate climbs to its peak before the cosine."""
    weight_decay: float = 5e-4
    """For weights; biases and norms have none."""
    label_smoothing: float = 0.0
    averaging: float = 0.0
    """Decay of the exponential average of the weights; 0: no average."""
    patience: int = 0
    """Epochs without a better val top-1 after which the stage ends early; 0: never."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 10_000),
            ("lr", 1e-6, 10),
            ("layer_decay", 0.01, 1),
            ("views", 0, 64),
            ("batch_size", 2, 65_536),
            ("image_size", 16, 512),
            ("unmixed", 0, 1),
            ("warmup_epochs", 0, self.epochs),
            ("weight_decay", 0, 1),
            ("label_smoothing", 0, 0.9),
            ("averaging", 0, 0.99999),
            ("patience", 0, 10_000),
        ):
            _check(f"{self.name}: {name}", getattr(self, name), low, high)
        if self.backbone_lr is not None:
            _check(f"{self.name}: backbone_lr", self.backbone_lr, 1e-7, 10)
        if not self.trainable:
            raise UserError(f"{self.name}: trainable is empty; name at least one of {', '.join(EVERYTHING)}.")
        for group in self.trainable:
            _check_one_of(f"{self.name}: trainable", group, EVERYTHING)
        if self.caches_features and self.augment.mixes:
            raise UserError(
                f"{self.name}: features of {self.views} views are computed once, which mixup and cutmix cannot use; "
                "set views to 0, or both of them to 0."
            )

    @property
    def caches_features(self) -> bool:
        """Whether the backbone stands still, so that its features need computing only once."""
        return self.trainable == HEAD and self.views > 0

    def augment_in(self, epoch: int) -> Augment:
        """The random changes of an epoch's batches."""
        if epoch < (1 - self.unmixed) * self.epochs:
            return self.augment
        return dataclasses.replace(self.augment, mixup=0.0, cutmix=0.0)

    def changed(self, **changes: Any) -> "Stage":
        """The stage with other values; where `epochs` or `lr` is changed, what depends on it keeps its proportion."""
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
    """The path of a checkpoint folder, whose probabilities are learned too wherever pictures are gone through."""
    distillation: float = 0.5
    """How much of what is learned the teacher's probabilities are, where there is one."""
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
        if not self.stages:
            raise UserError(f"recipe {self.name!r} has no stages; it needs at least one.")
        _check_one_of("arch", self.arch, ARCHITECTURES)
        _check_one_of("stem", self.stem, STEMS)
        _check_one_of("data", self.data, tuple(DATASETS))
        _check_one_of("precision", self.precision, PRECISIONS)
        if self.train_images is not None:
            _check("train_images", self.train_images, 100, 50_000)
        _check("val_images", self.val_images, 0, 25_000)
        least, there = self.train_images or 100, DATASETS[self.data]
        if self.val_images + least > there:
            raise UserError(
                f"{self.val_images} val images and at least {least} train images are asked for, of {there} in all; "
                "lower --val-images or --train-images."
            )
        for stage in self.stages:
            if self.stem == "stock" and stage.image_size < _SMALLEST_STOCK:
                raise UserError(
                    f"{stage.name}: image_size is {stage.image_size}; with the stock stem, which makes 1 pixel of 32, "
                    f"it must be {_SMALLEST_STOCK} at least."
                )
        if self.init == "imagenet" and self.stem != "stock":
            raise UserError(f"ImageNet weights need the stock stem; recipe {self.name!r} has the {self.stem} stem.")
        _check("distillation", self.distillation, 0, 1)
        _check("seed", self.seed, 0, 2**31 - 1)
        _check("log_every", self.log_every, 1, 100_000)

    def to_json(self) -> str:
        """The recipe as a JSON object, indented for people."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe that `to_json` wrote. Raises UserError where the text is no recipe."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields["stages"] = tuple(_stage(stage) for stage in fields["stages"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"this is no recipe: {error}.") from error


def _stage(fields: dict[str, Any]) -> Stage:
    return Stage(**fields | {"trainable": tuple(fields["trainable"]), "augment": Augment(**fields["augment"])})
