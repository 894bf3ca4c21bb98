"""Checks of ranges and names; their messages name the field and its value."""

import re

from resnet_cifar.errors import UserError

IMAGE_SIZES = (16, 512)
# Below, layer4 receives single pixels, and oneDNN leaves some gradients of strided convolutions over them unwritten.
SMALLEST_STOCK = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise UserError unless low <= value <= high."""
    if not low <= value <= high:  # also refuses NaN
        raise UserError(f"{name} is {value}; it must lie between {low:g} and {high:g}.")


def check_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise UserError unless the value is one of `known`."""
    if value not in known:
        raise UserError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")


def check_name(kind: str, name: str) -> None:
    """Raise UserError unless the name is valid as a folder, in a URL and as a command-line argument."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is not a valid name for a {kind}; use up to 64 letters, digits, dashes, dots and underscores, "
            "and begin with a letter or a digit."
        )
