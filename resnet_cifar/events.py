"""What a run says of itself, in order; each event is one line of `metrics.jsonl`.

A run's first event is RunStarted and its last is RunCompleted, RunStopped or RunFailed. Epochs and stages count
from 0, steps from 0 within their epoch. Accuracies are fractions. Fields that end in None by default are filled in
by whoever drives the loop: the loop itself knows no clock, so that the same seed gives the same events.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any


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


def to_json(event: Event, time: float) -> str:
    """One line without its line break. `time`: seconds since the epoch of the clock."""
    return json.dumps({"event": type(event).__name__, "time": time, **dataclasses.asdict(event)})


def from_json(line: str) -> tuple[Event, float]:
    """The event of a line and its time. Raises ValueError where the line is torn or is no event."""
    try:
        fields: dict[str, Any] = json.loads(line)
        kind, time = _KINDS[fields.pop("event")], fields.pop("time")
        for name in ("val", "ema_val", "test"):
            if fields.get(name) is not None:
                fields[name] = Metrics(**fields[name])
        for name in {"trainable", "image_sizes"} & fields.keys():
            fields[name] = tuple(fields[name])
        return kind(**fields), time
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no event: {line[:80]!r}") from error
