"""Events of a run, in order, and their JSON; each event is one line of `metrics.jsonl`.

A run's first event is RunStarted and its last is RunCompleted, RunStopped or RunFailed. Epochs and stages count
from 0, steps from 0 within their epoch. Accuracies are fractions. Fields that are None by default are filled in by
the caller of the loop: the loop itself knows no clock, so that the same seed gives the same events.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """Results of a model on a set of images; averages are over images."""

    loss: float
    top1: float
    top5: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """A run started: its device is chosen and its folder exists; downloads may follow."""

    recipe: str
    device: str
    precision: str
    data_dir: str | None
    processes: int = 1
    """Number of processes that train the run together; with GPUs, each has its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResumed:
    """A stopped, failed or interrupted run continues from its last save."""

    stage: int
    epoch: int
    step: int
    device: str
    precision: str
    data_dir: str | None
    processes: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Progress of a `phase`: download, read images, features, compile, train, range, evaluate, test, upload, export."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StageStarted:
    """A stage started: from here on, only the groups in `trainable` change."""

    stage: int
    name: str
    epochs: int
    steps: int
    """Optimizer updates per epoch."""
    images: int
    """Train images per epoch."""
    trainable: tuple[str, ...]
    image_sizes: tuple[int, ...]
    """Pixels per side, in the order of training."""
    batch_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSplit:
    """Memory ran out: from this step on, batches are split into micro-batches, with one update per batch as before."""

    stage: int
    epoch: int
    step: int
    micro_batches: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLogged:
    """Mean loss since the previous StepLogged; sent every `log_every` steps and at the end of an epoch."""

    stage: int
    epoch: int
    step: int
    loss: float
    lr: float
    images: int
    """Images trained on in this epoch so far."""
    images_per_second: float | None = None
    memory: int | None = None
    """Peak so far in bytes: reserved by torch on a GPU, resident in the process on a CPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochEnded:
    """Results of an epoch. Train metrics are means over its augmented images, taken while the weights changed."""

    stage: int
    epoch: int
    lr: float
    train_loss: float
    train_top1: float
    val: Metrics | None
    ema_val: Metrics | None
    """Val metrics of the EMA weights; None if the stage has no EMA."""
    image_size: int
    """Pixels per side, in training and evaluation."""
    best: bool
    """Whether this epoch's weights replace the ones kept so far."""
    seconds: float | None = None
    """Training time, without evaluation."""
    images_per_second: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StageEnded:
    """A stage ran all its epochs, or stopped early because val top-1 no longer improved."""

    stage: int
    name: str
    epochs: int
    """Epochs trained; fewer than planned after early stopping."""
    best_top1: float | None
    """Best val top-1 within the stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCompleted:
    """All stages ran, and the kept weights were tested once."""

    test: Metrics
    coarse_top1: float | None
    """Superclass top-1; None for a data set without superclasses."""
    seconds: float | None = None
    """Duration of the whole run, including the time before it was resumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStopped:
    """A run stopped on request: everything is saved, and resuming continues from here."""

    by: str
    """SIGINT, SIGTERM or the stop file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFailed:
    """A run cannot continue; `reason` is a sentence for the user."""

    reason: str
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
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in Event.__args__}
_TYPES = {kind: get_type_hints(kind) for kind in (Metrics, *_KINDS.values())}
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and Infinity, which earlier versions wrote


def to_json(event: Event, time: float) -> str:
    """Write an event as one line of JSON, without a line break. `time`: Unix time in seconds.

    Numbers that are not finite, for which JSON has no notation, become null.
    """
    fields = {"event": type(event).__name__, "time": time, **dataclasses.asdict(event)}
    return json.dumps(without_nan(fields), allow_nan=False)


def from_json(line: str) -> tuple[Event, float]:
    """Read an event and its time. null in a float field is read as nan, in an optional field as None.

    Raises ValueError if the line is torn, is not an event, or has a value of the wrong type.
    """
    try:
        fields: dict[str, Any] = _DECODER.decode(line)
        kind, time = _KINDS[fields.pop("event")], fields.pop("time")
        if type(time) not in (int, float):
            raise TypeError("time is not a number")
        return _build(kind, fields), time
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not an event: {line[:80]!r}") from error


def without_nan(value: Any) -> Any:
    """Copy nested dicts and sequences with None in place of nan and infinities."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _build(kind: Any, fields: dict[str, Any]) -> Any:
    hints = _TYPES[kind]
    return kind(**{name: _typed(hints[name], value) for name, value in fields.items()})


def _typed(hint: Any, value: Any) -> Any:
    """Convert a JSON value to the type of a field. Raises TypeError if it has another type."""
    if type(value) is hint:  # true for most values, so checked first
        return value
    if isinstance(hint, UnionType):
        return None if value is None else _typed(get_args(hint)[0], value)
    if hint is float and value is None:
        return math.nan
    if hint is float and type(value) is int:
        return value
    if hint is Metrics and isinstance(value, dict):
        return _build(Metrics, value)
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_typed(get_args(hint)[0], item) for item in value)
    raise TypeError(f"{value!r} is not a {hint}")
