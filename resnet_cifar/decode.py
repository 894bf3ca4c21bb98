"""Typed values from JSON: the one place where what a disk, the Hub or the page holds is checked before it is believed.

Types and bounds are those of a dataclass's fields: `Annotated[int, Bounds(0, 9)]`. Nothing is converted. Each type is
turned into a function once, because a record has many thousands of lines.
"""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from resnet_cifar.errors import UserError

T = TypeVar("T")
_Reader = Callable[[Any], Any]

_DEEPEST = 16  # levels of lists and objects; the deepest file of this project has 6
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
_LONGEST = 80  # characters of a value in a message
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Smallest and largest value of a number, length of a text, or length of a list."""

    low: float
    high: float
    nan: bool = False
    """Whether null and numbers that are not finite are read as nan."""


_DEFAULTS = {
    int: Bounds(-(2**63), 2**63 - 1),
    float: Bounds(-1e300, 1e300),
    str: Bounds(0, 100_000),
    tuple: Bounds(0, 1_000_000),
}

LONGEST_PATH = 4096

Fraction = Annotated[float, Bounds(0, 1, nan=True)]
"""A part of a whole; nan if there was nothing to count."""
Loss = Annotated[float, Bounds(-1e30, 1e30, nan=True)]
"""A loss; nan if it was not finite."""
Size = Annotated[int, Bounds(1, 1024)]
"""Pixels a side of an image."""
Place = Annotated[str, Bounds(1, LONGEST_PATH)]
"""A path; as long as file systems take."""


class _Misfit(Exception):
    """A value that does not fit, and where it is: filled in from the inside out."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        self.where = ""


def parse(text: str, where: str) -> Any:
    """Parse JSON. Raises UserError, which begins with `where`, if it is not JSON or is nested too deeply."""
    if text.count("[") + text.count("{") > _DEEPEST and _depth(text) > _DEEPEST:
        raise UserError(f"{where} is nested more than {_DEEPEST} levels deep.")
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{where} is not JSON ({error}).") from error


def build(kind: type[T], value: Any, where: str, *, ignore_unknown: bool = False) -> T:
    """Build a dataclass from a JSON object, including nested dataclasses, tuples and mappings of them.

    `where` names the object in messages. `ignore_unknown`: skip fields that the dataclass does not have. Raises
    UserError, naming the field and its value, if a field is unknown, missing, of the wrong type or out of bounds.
    """
    try:
        return _object(kind, ignore_unknown)(value)  # type: ignore[arg-type]
    except _Misfit as misfit:
        raise UserError(f"{where}{misfit.where}{misfit.problem}.") from misfit


def brief(value: Any) -> str:
    """Return a value as Python writes it, shortened for a message."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."


def is_plain(text: str) -> bool:
    """Return whether a file and a page can hold a text: it has no NUL, and no half of a pair of surrogates."""
    try:
        return "\0" not in text and (text.isascii() or bool(text.encode()))
    except UnicodeEncodeError:
        return False


def _depth(text: str) -> int:
    depth = deepest = 0
    for mark in _MARKS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        deepest = max(deepest, depth)
    return deepest


@cache
def _object(kind: type, ignore_unknown: bool) -> _Reader:
    fields = dataclasses.fields(kind)
    hints = get_type_hints(kind, include_extras=True)
    readers = {field.name: _reader(hints[field.name]) for field in fields}
    needed = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _Misfit(f" is {brief(value)}; it must be an object with fields")
        values: dict[str, Any] = {}
        for name, item in value.items():
            reader = readers.get(name)
            if reader is None:
                if ignore_unknown:
                    continue
                raise _Misfit(f" has no field {brief(name)}; it has {', '.join(readers)}")
            try:
                values[name] = reader(item)
            except _Misfit as misfit:
                misfit.where = f": {name}{misfit.where}"
                raise
        if missing := needed - values.keys():
            raise _Misfit(f": the field {min(missing)!r} is missing")
        return kind(**values)

    return read


def _reader(hint: Any) -> _Reader:
    """Return the function that reads a JSON value as a type. It raises _Misfit."""
    bounds = None
    if get_origin(hint) is Annotated:
        hint, bounds = get_args(hint)
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        inner = _reader(next(option for option in get_args(hint) if option is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        return _sequence(get_args(hint), bounds or _DEFAULTS[tuple])
    if origin is Mapping:
        return _mapping(_reader(get_args(hint)[0]), _reader(get_args(hint)[1]))
    if dataclasses.is_dataclass(hint):
        return _object(hint, False)  # type: ignore[arg-type]
    plain = str if origin is Literal else hint  # the dataclass itself checks which strings are valid
    if plain is str:
        return _text(bounds or _DEFAULTS[str])
    return _boolean if plain is bool else _number(plain, bounds or _DEFAULTS[plain])


def _number(kind: type, bounds: Bounds) -> _Reader:
    low, high, nan = bounds.low, bounds.high, bounds.nan

    def read(value: Any) -> Any:
        given = type(value)  # isinstance would accept true as a whole number
        if (given is kind or (kind is float and given is int)) and low <= value <= high:
            return value
        if nan and (value is None or (given is float and not math.isfinite(value))):
            return math.nan
        fits = given is kind or (kind is float and given is int)
        limits = f"lie between {low:g} and {high:g}" if fits else f"be {_WORDS[kind]}"
        raise _Misfit(f" is {brief(value)}; it must {limits}")

    return read


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _Misfit(f" is {brief(value)}; it must be {_WORDS[bool]}")
    return value


def _text(bounds: Bounds) -> _Reader:
    def read(value: Any) -> str:
        if type(value) is not str:
            raise _Misfit(f" is {brief(value)}; it must be {_WORDS[str]}")
        if not bounds.low <= len(value) <= bounds.high:
            limits = f"{bounds.low:g} to {bounds.high:g} characters"
            raise _Misfit(f" is {brief(value)}, with {len(value):,} characters; it must have {limits}")
        if not is_plain(value):
            raise _Misfit(f" is {brief(value)}, which has characters that no file or page can hold")
        return value

    return read


def _sequence(hints: tuple[Any, ...], bounds: Bounds) -> _Reader:
    """Read a list of any length within bounds, or one that has a type for each item."""
    alike = hints[-1] is Ellipsis
    readers = [_reader(hint) for hint in hints if hint is not Ellipsis]
    low, high = (bounds.low, bounds.high) if alike else (len(hints), len(hints))

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _Misfit(f" is {brief(value)}; it must be a list")
        if not low <= len(value) <= high:
            count = f"{low:g} to {high:g}" if alike else f"{high:g}"
            raise _Misfit(f" is {brief(value)}, with {len(value):,} items; it must have {count}")
        items = []
        for number, item in enumerate(value):
            try:
                items.append(readers[0 if alike else number](item))
            except _Misfit as misfit:
                misfit.where = f"[{number}]{misfit.where}"
                raise
        return tuple(items)

    return read


def _mapping(of_key: _Reader, of_value: _Reader) -> _Reader:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Misfit(f" is {brief(value)}; it must be an object")
        found = {}
        for name, item in value.items():
            try:
                found[of_key(name)] = of_value(item)
            except _Misfit as misfit:
                misfit.where = f"[{brief(name)}]{misfit.where}"
                raise
        return found

    return read
