"""Range checks whose messages name the field and its value."""

from resnet_cifar.errors import UserError


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise UserError unless low <= value <= high."""
    if not low <= value <= high:  # also refuses NaN
        raise UserError(f"{name} is {value}; it must lie between {low:g} and {high:g}.")


def check_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise UserError unless the value is one of `known`."""
    if value not in known:
        raise UserError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
