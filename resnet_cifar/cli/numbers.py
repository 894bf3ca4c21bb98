"""Types of options: numbers within bounds, so that nothing computes with one of 400 digits."""

import argparse

from resnet_cifar.decode import brief


def whole(text: str) -> int:
    """Read a whole number that a recipe can compute with; the recipe itself knows which ones it takes."""
    try:
        number = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"invalid int value: {brief(text)}") from error
    if abs(number) >= 2**31:
        raise argparse.ArgumentTypeError(f"{brief(number)} is too large")
    return number


def port(text: str) -> int:
    """Read a port."""
    number = whole(text)
    if not 1 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"{number} is not a port; use 1 to 65535")
    return number
