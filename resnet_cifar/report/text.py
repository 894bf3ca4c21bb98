"""Numbers, recipes and runs as text, for terminals and model cards."""

from collections.abc import Iterable, Mapping, Sequence

from resnet_cifar.events import EpochEnded, Event, Metrics, StageStarted
from resnet_cifar.recipe.presets import RECIPES


def percent(fraction: float) -> str:
    """Format a fraction as a percentage, such as `67.05 %`."""
    return f"{100 * fraction:.2f} %"


def duration(seconds: float) -> str:
    """Format seconds, such as `2 days 4 h`, `1 h 58 min`, `4 min 34 s` or `14 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        days, hours = divmod(round(seconds / 3600), 24)
        return f"{_days(days)} {hours} h" if hours else _days(days)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


_LIMITS = (1, 2, 5, 10, 20, 30, 60, 120, 240, 480, 720, 1440)  # minutes


def roughly(seconds: float) -> str:
    """Format an estimated time no finer than it is known, such as `about 7 h` or `less than a minute`."""
    if seconds < 60:
        return "less than a minute"
    minutes = seconds / 60
    if minutes < 57.5:
        return f"about {round(minutes) if minutes < 9.5 else 5 * round(minutes / 5)} min"
    if minutes < 175:
        hours, minutes = divmod(10 * round(minutes / 10), 60)
        return f"about {hours} h {minutes} min" if minutes else f"about {hours} h"
    hours = round(minutes / 60)
    return f"about {hours} h" if hours < 48 else f"about {_days(round(minutes / 60 / 24))}"


def between(seconds: float) -> str:
    """Format an estimated time as a range, such as `2 to 5 min`: estimates of a busy machine vary by a factor of two.

    From a day on, as `roughly` does.
    """
    limits = [limit for limit in _LIMITS if 60 * limit <= seconds]
    if not limits or len(limits) == len(_LIMITS):
        return roughly(seconds)
    low, high = limits[-1], _LIMITS[len(limits)]
    if high < 60:
        return f"{low} to {high} min"
    return f"{low} to 60 min" if low < 60 else f"{low // 60} to {high // 60} h"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def gibibytes(count: float) -> str:
    """Format bytes in GiB."""
    return f"{count / 2**30:.1f} GiB"


def file_size(count: int) -> str:
    """Format the size of a file, such as `43.2 MB` or `12 kB`."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{max(1, round(count / 1e3))} kB"


def metrics_line(split: str, metrics: Metrics, coarse_top1: float | None, ece: float | None = None) -> str:
    """Format the metrics of a split in one line, with superclass top-1 if the data set has superclasses."""
    line = f"{split} top-1 {percent(metrics.top1)}, top-5 {percent(metrics.top5)}, loss {metrics.loss:.4f}"
    line += "" if coarse_top1 is None else f", superclass {percent(coarse_top1)}"
    return line if ece is None else f"{line}, calibration error {percent(ece)}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format rows of text as aligned columns."""
    lines = [tuple(columns), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


STAGE_COLUMNS = ("stage", "learns", "size", "epochs", "train top-1", "best val top-1", "time")


def stage_rows(history: Iterable[Event]) -> list[tuple[str, ...]]:
    """Summarise each stage from a run's events, in `STAGE_COLUMNS`. Stages without a completed epoch are left out."""
    rows: list[tuple[str, ...]] = []
    stage: StageStarted | None = None
    best, seconds = 0.0, 0.0
    for event in history:
        if isinstance(event, StageStarted):
            stage, best, seconds = event, 0.0, 0.0
            rows.append(())
        elif isinstance(event, EpochEnded) and stage is not None:
            seconds += event.seconds or 0
            best = max(best, *(metrics.top1 for metrics in (event.val, event.ema_val) if metrics), 0.0)
            rows[-1] = (
                stage.name,
                learns(stage.trainable),
                sizes(stage.image_sizes),
                str(event.epoch + 1),
                percent(event.train_top1),
                percent(best) if event.val else "-",
                duration(seconds),
            )
    return [row for row in rows if row]


def recipe_lines() -> str:
    """Format all named recipes and their stages."""
    blocks = []
    for recipe in RECIPES.values():
        rows = [
            (
                f"  {stage.name}",
                learns(stage.trainable),
                sizes(stage.image_sizes),
                f"{stage.epochs} epochs",
                f"lr {stage.lr:g}",
                f"batch {stage.batch_size}",
            )
            for stage in recipe.stages
        ]
        start = f"{recipe.arch}, {recipe.stem} stem, weights from {recipe.init}"
        blocks.append(f"{recipe.name}: {recipe.about}\n  {start}\n{table(rows[0], rows[1:])}")
    return "\n\n".join(blocks)


def sizes(image_sizes: Sequence[int]) -> str:
    """Format image sizes in the order of training."""
    return f"{', '.join(map(str, image_sizes))} px"


def learns(trainable: Sequence[str]) -> str:
    """Format the names of a stage's trainable groups."""
    return "everything" if len(trainable) == 6 else ", ".join(trainable)


def prediction_lines(
    name: str, probabilities: Mapping[str, float], superclass: str | None, known: bool | None, classes: int
) -> str:
    """Format the most likely classes of an image; `known` is False if it is probably none of all `classes`."""
    head = f"{name}: " + (f"probably none of the {classes} classes; closest: " if known is False else "")
    head += next(iter(probabilities)) + (f" ({superclass})" if superclass else "")
    return "\n".join([head, *(f"  {percent(value):>8}  {label}" for label, value in probabilities.items())])
