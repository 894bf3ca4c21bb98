"""Colours of runs and styles of lines in figures: a colour says which run, a style says what of it."""

from collections.abc import Sequence

from resnet_cifar.runs.notes import read_notes
from resnet_cifar.runs.run_dir import RunDir

PALETTE = (
    *("#0d9488", "#d97706", "#8b5cf6", "#e11d48", "#3b82f6"),
    *("#65a30d", "#c026d3", "#64748b", "#0891b2", "#b0653a"),
)
"""Colours of runs, by the number in their notes; each has a contrast of 3 : 1 or more on light and dark cards."""

STYLES = {
    "train": {"width": 1.3, "dash": "solid"},
    "val": {"width": 2.6, "dash": "solid"},
    "val top-5": {"width": 1.6, "dash": "dash"},
    "EMA val": {"width": 2.6, "dash": "dot"},
    "EMA val top-5": {"width": 1.6, "dash": "dashdot"},
}
"""Width and dash of each kind of line, in the order of the key."""
BEST = "best epoch"
"""The kind that is a star instead of a line."""


def colour_of(run: RunDir) -> str:
    """Return a run's colour. It is the same whatever else is shown."""
    return PALETTE[read_notes(run.path).colour % len(PALETTE)]


def kinds_of(lines: Sequence[str]) -> list[str]:
    """Return the kinds that occur, in the order of the key."""
    return [kind for kind in (*STYLES, BEST) if kind in lines]
