"""Checks of ranges and names; their messages name the field and its value."""

import re
from collections.abc import Sequence

from resnet_cifar.decode import brief, is_plain
from resnet_cifar.errors import UserError

IMAGE_SIZES = (16, 512)
MOST_PARTS = 32
"""Stages of a recipe, and changes within a stage."""
# Below, layer4 receives single pixels, and oneDNN leaves some gradients of strided convolutions over them unwritten.
SMALLEST_STOCK = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise UserError unless low <= value <= high."""
    if not low <= value <= high:  # also refuses NaN
        raise UserError(f"{name} is {brief(value)}; it must lie between {low:g} and {high:g}.")


def check_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise UserError unless the value is one of `known`."""
    if value not in known:
        raise UserError(f"{name} is {brief(value)}; it must be one of {', '.join(known)}.")


def check_text(name: str, value: str, longest: int, shortest: int = 0) -> None:
    """Raise UserError unless the text has a valid length, and only characters that files and pages can hold."""
    if not shortest <= len(value) <= longest:
        raise UserError(f"{name} has {len(value):,} characters; it must have {shortest} to {longest:,}.")
    if not is_plain(value):
        raise UserError(f"{name} is {brief(value)}, which has characters that no file or page can hold.")


def check_distinct(name: str, values: Sequence[str]) -> None:
    """Raise UserError if a value occurs twice."""
    if len(set(values)) < len(values):
        twice = next(value for number, value in enumerate(values) if value in values[:number])
        raise UserError(f"{name} names {brief(twice)} twice.")


def check_name(kind: str, name: str) -> None:
    """Raise UserError unless the name is valid as a folder, in a URL and as a command-line argument."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{brief(name)} is not a valid name for a {kind}; use up to 64 letters, digits, dashes, dots and "
            "underscores, and begin with a letter or a digit."
        )
