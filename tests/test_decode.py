"""What is read from JSON has the types and bounds of its fields, or is refused by name and value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import pytest

from resnet_cifar.decode import Bounds, Loss, build, parse
from resnet_cifar.errors import UserError


@dataclass(frozen=True)
class Inner:
    size: Annotated[int, Bounds(1, 9)]


@dataclass(frozen=True)
class Outer:
    share: Annotated[float, Bounds(0, 1)]
    loss: Loss = 0.0
    name: Annotated[str, Bounds(1, 3)] = "x"
    number: int | None = None
    inner: tuple[Inner, ...] = ()
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    of: Mapping[str, Inner] = field(default_factory=dict)


def test_what_fits_is_built():
    fields = parse(
        '{"share": 1, "loss": null, "inner": [{"size": 9}], "colour": [1, 2, 3], "of": {"a": {"size": 1}}}', ""
    )
    built = build(Outer, fields, "it")
    assert built.share == 1 and built.loss != built.loss and built.inner == (Inner(9),) and built.of == {"a": Inner(1)}
    assert built.colour == (1, 2, 3)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "it: the field 'share' is missing"),
        ({"share": 1.5}, "it: share is 1.5; it must lie between 0 and 1"),
        ({"share": True}, "share is True; it must be a number"),
        ({"share": float("nan")}, "share is nan"),
        ({"share": None}, "share is None"),
        ({"share": 10**400}, "share is 1000.* ...; it must lie"),
        ({"share": 0, "loss": "low"}, "loss is 'low'"),
        ({"share": 0, "loss": 10**400}, "loss is 1000"),
        ({"share": 0, "name": "long"}, "name is 'long', with 4 characters; it must have 1 to 3"),
        ({"share": 0, "name": "\ud800"}, "has characters that no file or page can hold"),
        ({"share": 0, "name": "a\0"}, "has characters that no file or page can hold"),
        ({"share": 0, "number": 2**63}, "number is 9223372036854775808; it must lie"),
        ({"share": 0, "inner": [{"size": 1}, {"size": 0}]}, r"it: inner\[1\]: size is 0; it must lie between 1 and 9"),
        ({"share": 0, "inner": {}}, "inner is {}; it must be a list"),
        ({"share": 0, "colour": [1, 2]}, "with 2 items; it must have 3"),
        ({"share": 0, "of": {"a": []}}, r"of\['a'\] is \[\]; it must be an object"),
        ({"share": 0, "new": 1}, "it has no field 'new'"),
        ([], r"it is \[\]; it must be an object"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_value(fields: object, told: str):
    with pytest.raises(UserError, match=told) as refused:
        build(Outer, fields, "it")
    assert len(str(refused.value)) < 200


def test_unknown_fields_are_skipped_where_others_write_them_too():
    assert build(Outer, {"share": 0, "new": 1}, "it", ignore_unknown=True) == Outer(0)


@pytest.mark.parametrize("text", ["[" * 17 + "]" * 17, '{"a":' * 10**5, '["]", ' + "[" * 16 + "]" * 17])
def test_what_is_nested_too_deeply_is_not_parsed(text: str):
    with pytest.raises(UserError, match="it is nested more than 16 levels deep"):
        parse(text, "it")


def test_brackets_in_texts_and_side_by_side_are_not_deep():
    assert parse('["[[[[[[[[[[[[[[[[[[", "\\\\", "\\"[[[[["]', "it")[1] == "\\"
    assert parse("[" + "[], " * 99 + "[]]", "it") == [[]] * 100
    with pytest.raises(UserError, match="it is not JSON"):
        parse("9" * 5000, "it")
