"""What a page already shows, as stamps of its parts: whatever has not changed since is not sent again.

The browser holds the stamps, and gets them in the same answer as what they describe. Answers may arrive in another
order than they were given: what the server remembers of a page (`gr.State`) is then not what the page shows.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

Part = tuple[Any, Callable[[], Any]]
"""What a part of the page depends on, and a function that makes it."""


def stamps() -> gr.JSON:
    """Create the component that holds the stamps: an input of what answers, and its last output."""
    return gr.JSON(visible=False)


def stamp(what: Any) -> str:
    """Return a short text that changes with `what`."""
    return hashlib.blake2s(repr(what).encode(), digest_size=8).hexdigest()


def changed(has: Any, parts: Sequence[Part]) -> list[Any]:
    """Make the parts that differ from what the browser says it has, skip the others, and add the new stamps."""
    now = [stamp(what) for what, _ in parts]
    before = has if isinstance(has, list) and len(has) == len(now) else [None] * len(now)
    made = [gr.skip() if old == new else make() for (_, make), old, new in zip(parts, before, now, strict=True)]
    return [*made, gr.skip() if now == before else now]
