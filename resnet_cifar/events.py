"""Events of a run, in order, and their JSON; each event is one line of `metrics.jsonl`.

A run's first event is RunStarted and its last is RunCompleted, RunStopped or RunFailed. Epochs and stages count
from 0, steps from 0 within their epoch. Accuracies are fractions. Fields that are None by default are filled in by
the caller of the loop: the loop itself knows no clock, so that the same seed gives the same events.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Annotated, Any

from resnet_cifar import decode
from resnet_cifar.decode import Bounds, Fraction, Loss, Place, Size
from resnet_cifar.errors import UserError

LONGEST_LINE = 2**15
"""Most characters of a line of `metrics.jsonl`; longer ones are no event."""

LONGEST_REASON = 2000
"""Characters of the reason of a failure that are recorded; the log has the rest."""

Name = Annotated[str, Bounds(0, 200)]
Number = Annotated[int, Bounds(0, 10**9)]
"""Number of a stage, an epoch or a step, or a count of them."""
Count = Annotated[int, Bounds(1, 10**9)]
Amount = Annotated[int, Bounds(0, 2**62)]
Seconds = Annotated[float, Bounds(0, 1e10)]
Rate = Annotated[float, Bounds(0, 1e12)]
_TIMES = Bounds(0, 1e11)  # Unix time in seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """Results of a model on a set of images; averages are over images."""

    loss: Loss
    top1: Fraction
    top5: Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """A run started: its device is chosen and its folder exists; downloads may follow."""

    recipe: Name
    device: Name
    precision: Name
    data_dir: Place | None
    processes: Count = 1
    """Number of processes that train the run together; with GPUs, each has its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResumed:
    """A stopped, failed or interrupted run continues from its last save."""

    stage: Number
    epoch: Number
    step: Number
    device: Name
    precision: Name
    data_dir: Place | None
    processes: Count = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Progress of a `phase`.

    download, download from the Hub, read images, features, compile, train, range, evaluate, test, upload, export.
    """

    phase: Name
    done: Amount
    total: Amount


@dataclass(frozen=True, kw_only=True, slots=True)
class StageStarted:
    """A stage started: from here on, only the groups in `trainable` change."""

    stage: Number
    name: Name
    epochs: Number
    steps: Count
    """Optimizer updates per epoch."""
    images: Count
    """Train images per epoch."""
    trainable: Annotated[tuple[Name, ...], Bounds(1, 100)]
    image_sizes: Annotated[tuple[Size, ...], Bounds(1, 10_000)]
    """Pixels per side, in the order of training."""
    batch_size: Count


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSplit:
    """Memory ran out: from this step on, batches are split into micro-batches, with one update per batch as before."""

    stage: Number
    epoch: Number
    step: Number
    micro_batches: Count


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLogged:
    """Mean loss since the previous StepLogged; sent every `log_every` steps and at the end of an epoch."""

    stage: Number
    epoch: Number
    step: Number
    loss: Loss
    lr: Rate
    images: Count
    """Images trained on in this epoch so far."""
    images_per_second: Rate | None = None
    memory: Amount | None = None
    """Peak so far in bytes: reserved by torch on a GPU, resident in the process on a CPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochEnded:
    """Results of an epoch. Train metrics are means over its augmented images, taken while the weights changed."""

    stage: Number
    epoch: Number
    lr: Rate
    train_loss: Loss
    train_top1: Fraction
    val: Metrics | None
    ema_val: Metrics | None
    """Val metrics of the EMA weights; None if the stage has no EMA."""
    image_size: Size
    """Pixels per side, in training and evaluation."""
    best: bool
    """Whether this epoch's weights replace the ones kept so far."""
    seconds: Seconds | None = None
    """Training time, without evaluation."""
    images_per_second: Rate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StageEnded:
    """A stage ran all its epochs, or stopped early because val top-1 no longer improved."""

    stage: Number
    name: Name
    epochs: Number
    """Epochs trained; fewer than planned after early stopping."""
    best_top1: Fraction | None
    """Best val top-1 within the stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCompleted:
    """All stages ran, and the kept weights were tested once."""

    test: Metrics
    coarse_top1: Fraction | None
    """Superclass top-1; None for a data set without superclasses."""
    seconds: Seconds | None = None
    """Duration of the whole run, including the time before it was resumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStopped:
    """A run stopped on request: everything is saved, and resuming continues from here."""

    by: Name
    """SIGINT, SIGTERM or the stop file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFailed:
    """A run cannot continue; `reason` is a sentence for the user."""

    reason: Annotated[str, Bounds(0, 10_000)]
    user_error: bool
    """Whether the user can fix it."""


Event = (
    RunStarted
    | RunResumed
    | Progress
    | StageStarted
    | BatchSplit
    | StepLogged
    | EpochEnded
    | StageEnded
    | RunCompleted
    | RunStopped
    | RunFailed
)
ENDS = (RunCompleted, RunStopped, RunFailed)
"""Events of which one ends a run's record, until it is resumed."""
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in Event.__args__}


def to_json(event: Event, time: float) -> str:
    """Write an event as one line of JSON, without a line break. `time`: Unix time in seconds.

    Numbers that are not finite, for which JSON has no notation, become null.
    """
    fields = {"event": type(event).__name__, "time": time, **dataclasses.asdict(event)}
    return json.dumps(without_nan(fields), allow_nan=False)


def from_json(line: str) -> tuple[Event, float]:
    """Read an event and its time. null in a float field is read as nan, in an optional field as None.

    Raises ValueError if the line is torn, is not an event, or has a value of the wrong type or out of bounds.
    """
    try:
        fields: Any = decode.parse(line, "the line") if len(line) <= LONGEST_LINE else None
        kind, time = _KINDS[fields.pop("event")], fields.pop("time")
        if type(time) not in (int, float) or not _TIMES.low <= time <= _TIMES.high:
            raise TypeError("time is not a number of seconds")
        return decode.build(kind, fields, "event"), time
    except (UserError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not an event: {line[:80]!r}") from error


def without_nan(value: Any) -> Any:
    """Copy nested dicts and sequences with None in place of nan and infinities."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
