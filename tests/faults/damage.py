"""Damage to files, as hypothesis draws it: what a file holds afterwards, or what stands in its place."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

NESTED: Any = "nested"
ODD: tuple[Any, ...] = (
    *(None, True, "", "x", "\ud800", "a\0b", [], {}, [[]], {"a": 1}, [1, 2], ["x", "x"]),
    *(0, -1, 1, 2**31, 10**30, 10**400, 0.5, 1e308, float("nan"), float("inf"), "y" * 10**5, NESTED),
)
"""Values that do not belong into some field or other."""

Damage = Callable[[Path], None]


def texts(value: Any) -> str:
    """JSON as careless programs write it: with NaN, halves of surrogates and lists a thousand deep."""
    return json.dumps(value).replace('"nested"', "[" * 1000 + "]" * 1000)


def keys(value: Any) -> list[Any]:
    """Keys of a container; none of any other value."""
    return list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []


def place(draw: st.DrawFn, value: Any) -> tuple[Any, Any]:
    """A container in a JSON value, and one of its keys; a field is as likely as a list of a hundred names."""
    while True:
        key = draw(st.sampled_from(keys(value)))
        if not keys(value[key]) or draw(st.booleans()):
            return value, key
        value = value[key]


def changed(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one odd value, one field less or one more."""
    if not keys(value):
        return draw(st.sampled_from(ODD))
    container, key = place(draw, value)
    how = draw(st.sampled_from(("odd", "odd", "odd", "gone", "more")))
    if how == "odd":
        container[key] = draw(st.sampled_from(ODD))
    elif how == "gone":
        del container[key]
    elif isinstance(container, dict):
        container["colour"] = draw(st.sampled_from(ODD))
    else:
        container.append(draw(st.sampled_from(ODD)))
    return value


@st.composite
def foreign(draw: st.DrawFn, file: str, content: bytes) -> bytes:
    """The content with an odd value in one of its JSON values, in whatever format it has."""
    if file.endswith(".safetensors"):
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        if file == "last.safetensors" and draw(st.booleans()):
            facts = changed(draw, json.loads(header["__metadata__"]["resume"]))
            header["__metadata__"]["resume"] = texts(facts)
            header["__metadata__"].pop("header_sha256", None)  # as if another program had written it
        else:
            header = changed(draw, header)
        text = texts(header).encode()
        return struct.pack("<Q", len(text)) + text + content[8 + size :]
    if file.endswith(".jsonl"):
        lines = content.splitlines()
        number = draw(st.integers(0, len(lines) - 1))
        lines[number] = texts(changed(draw, json.loads(lines[number]))).encode()
        return b"\n".join(lines) + b"\n"
    if file.endswith(".json"):
        return texts(changed(draw, json.loads(content))).encode()
    return draw(st.binary(max_size=50))


@st.composite
def flipped(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with up to three bits or bytes changed, the first kilobyte more often than the rest."""
    harmed = bytearray(content)
    for _ in range(draw(st.integers(1, 3)) if content else 0):
        end = len(harmed) - 1
        place = draw(st.one_of(st.integers(0, min(end, 1000)), st.integers(0, end)))
        harmed[place] ^= draw(st.integers(1, 255))
    return bytes(harmed)


@st.composite
def cut(draw: st.DrawFn, content: bytes) -> bytes:
    """A part of the content: its beginning or its end."""
    place = draw(st.integers(0, max(0, len(content) - 1)))
    return content[:place] if draw(st.booleans()) else content[place:]


@st.composite
def filled(draw: st.DrawFn, content: bytes) -> bytes:
    """Something else: zeros, noise, text, or brackets without end."""
    length = draw(st.sampled_from((1, 100, 10**6)))
    piece = draw(st.sampled_from((b"\0", b"\xff\xfe", b"[", b'{"a":', b'{"event": "StepLogged", ', b"x", b"\n", b"1")))
    return (piece * length)[: 2 * 10**6]


def _replaced(make: Damage) -> Damage:
    def harm(file: Path) -> None:
        file.unlink(missing_ok=True)
        make(file)

    return harm


def _sparse(file: Path) -> None:
    file.touch()
    os.truncate(file, 20 * 10**9)


IN_PLACE: dict[str, Damage] = {
    "a folder": _replaced(lambda file: file.mkdir()),
    "nothing": _replaced(lambda _: None),
    "a link to itself": _replaced(lambda file: file.symlink_to(file.name)),
    "a link to nothing": _replaced(lambda file: file.symlink_to("nowhere")),
    "a link to /dev/zero": _replaced(lambda file: file.symlink_to("/dev/zero")),
    "a pipe that nobody fills": _replaced(lambda file: os.mkfifo(file)),
    "20 GB of zeros": _replaced(_sparse),
}
"""What stands in a file's place."""
