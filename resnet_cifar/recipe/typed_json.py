"""Dataclasses from JSON values, with every type checked; nothing is converted."""

import dataclasses
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from resnet_cifar.errors import UserError

T = TypeVar("T")

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def build(kind: type[T], value: Any, where: str) -> T:
    """Build a dataclass from a JSON object, including nested dataclasses and tuples of them.

    `where` names the object in messages. Raises UserError, naming the field and its value, if a field is unknown,
    missing or of the wrong type.
    """
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object with fields")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in value:
        if name not in fields:
            raise UserError(f"{where} has no field {name!r}; it has {', '.join(fields)}.")
    for name, field in fields.items():
        if name not in value and field.default is dataclasses.MISSING:
            raise UserError(f"{where}: the field {name!r} is missing.")
    hints = get_type_hints(kind)
    return kind(**{name: _typed(hints[name], item, f"{where}: {name}") for name, item in value.items()})


def _typed(hint: Any, value: Any, where: str) -> Any:
    """Return the value as a field of type `hint` needs it: lists become tuples, objects dataclasses."""
    if get_origin(hint) in (Union, UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        return None if value is None else _typed(options[0], value, where)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return tuple(_typed(get_args(hint)[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # type: ignore[arg-type]
    plain = str if get_origin(hint) is Literal else hint  # the dataclass itself checks which strings are valid
    accepted = (int, float) if plain is float else (plain,)
    if type(value) not in accepted:  # isinstance would accept true as a whole number
        raise _wrong(where, value, _NAMES[plain])
    return value


def _wrong(where: str, value: Any, expected: str) -> UserError:
    return UserError(f"{where} is {value!r}; it must be {expected}.")
