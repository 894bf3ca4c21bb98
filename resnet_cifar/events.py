"""What a run says of itself, in order; each event is one line of `metrics.jsonl`.

A run's first event is RunStarted and its last is RunCompleted, RunStopped or RunFailed. Epochs and stages count
from 0, steps from 0 within their epoch. Accuracies are fractions. Fields that end in None by default are filled in
by whoever drives the loop: the loop itself knows no clock, so that the same seed gives the same events.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """What a set of images says of a model; averages are over images."""

    loss: float
    top1: float
    top5: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """The device is chosen and the folder made; downloads may follow."""

    recipe: str
    device: str
    precision: str
    data_dir: str | None
    processes: int = 1
    """That train it together, each on a device of its own where there are GPUs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResumed:
    """A stopped, failed or interrupted run goes on from what was last saved."""

    stage: int
    epoch: int
    step: int
    device: str
    precision: str
    data_dir: str | None
    processes: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far work is: `download`, `features`, `compile`, `train`, `evaluate`, `test`, `upload` or `export`."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StageStarted:
    """From here on `trainable` learns."""

    stage: int
    name: str
    epochs: int
    steps: int
    """Optimizer updates an epoch."""
    images: int
    trainable: tuple[str, ...]
    image_sizes: tuple[int, ...]
    """Pixels a side, in the order in which they are trained at."""
    batch_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSplit:
    """Memory ran out: from this step on a batch goes through in micro-batches, still with one update."""

    stage: int
    epoch: int
    step: int
    micro_batches: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLogged:
    """Every `log_every` steps, and at an epoch's end: the mean loss since the last one."""

    stage: int
    epoch: int
    step: int
    loss: float
    lr: float
    images: int
    """Trained on in this epoch so far."""
    images_per_second: float | None = None
    memory: int | None = None
    """Bytes at their peak so far: on a GPU what torch reserved there, on a CPU what the process had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochEnded:
    """An epoch's sums. Train metrics are a running mean while the weights move, over augmented images."""

    stage: int
    epoch: int
    lr: float
    train_loss: float
    train_top1: float
    val: Metrics | None
    ema_val: Metrics | None
    """Of the averaged weights, where the stage averages."""
    image_size: int
    """Pixels a side, of training and evaluation."""
    best: bool
    """Whether this epoch's weights are now the ones to keep."""
    seconds: float | None = None
    """Of training alone."""
    images_per_second: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StageEnded:
    """The stage ran its epochs, or stopped early for want of progress."""

    stage: int
    name: str
    epochs: int
    """Trained, which early stopping may make fewer than planned."""
    best_top1: float | None
    """Best val top-1 within the stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCompleted:
    """Every stage ran, and the weights that were kept were tested once."""

    test: Metrics
    coarse_top1: float | None
    """Superclass top-1; None for a data set without superclasses."""
    seconds: float | None = None
    """Of the whole run, what was done before a stop included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStopped:
    """Somebody asked for it; all is saved, and resuming goes on from here."""

    by: str
    """SIGINT, SIGTERM or the stop file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFailed:
    """The run cannot go on; `reason` is a sentence for people."""

    reason: str
    user_error: bool
    """Whether the person who asked can mend it."""


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
    """Write an event as one line of JSON, without its line break. `time`: seconds since the epoch of the clock.

    Numbers that are not finite, for which JSON has no notation, become null.
    """
    fields = {"event": type(event).__name__, "time": time, **dataclasses.asdict(event)}
    return json.dumps(without_nan(fields), allow_nan=False)


def from_json(line: str) -> tuple[Event, float]:
    """Read an event and its time. Raises ValueError where the line is torn, is no event or has a value of another type.

    null in a float field is read as nan; in an optional field it is None.
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
    """Convert a JSON value to the type of a field. Raises TypeError where it is of another type."""
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
