"""What the page asks for every second, in one request: each event of gradio costs as much as most answers.

While nothing has changed for a while, it asks more rarely.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from resnet_cifar.ui.options import AWAKE, QUIET

_SECONDS = 1.0
_QUIET = 5  # answers without news, after which the next ones come
_QUIET_SECONDS = 3.0
_LATEST = 5.0  # seconds after which a missed answer comes


@dataclass(frozen=True)
class _Part:
    answer: Callable[..., Sequence[Any]]
    inputs: Sequence[Any]
    outputs: Sequence[Any]


class Clock:
    """Collects what is to be answered; `start` connects all of it to one timer."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def tick(self, answer: Callable[..., Sequence[Any]], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Call `answer` every second with the values of `inputs`; it returns a value for each of `outputs`.

        What has not changed is `gr.skip()`.
        """
        self._parts.append(_Part(answer, inputs, outputs))

    def start(self) -> None:
        """Start the timer."""
        inputs = [one for part in self._parts for one in part.inputs]
        outputs = [one for part in self._parts for one in part.outputs]
        quiet, timer = gr.State(0), gr.Timer(_SECONDS)
        timer.tick(self._answers, [quiet, *inputs], [timer, quiet, *outputs], **QUIET)
        # An event that is sent in the moment in which the server ends its stream of answers gets none from Gradio's
        # client, and the page would wait for ever. The next event opens a new stream, which brings all that is missed.
        gr.Timer(_LATEST).tick(lambda: None, **AWAKE)

    def _answers(self, quiet: int, *values: Any) -> list[Any]:
        answers: list[Any] = []
        rest = list(values)
        for part in self._parts:
            own, rest = rest[: len(part.inputs)], rest[len(part.inputs) :]
            try:
                answers += part.answer(*own)
            except Exception:  # the others go on
                traceback.print_exc()
                answers += [gr.skip()] * len(part.outputs)
        now = 0 if any(answer != gr.skip() for answer in answers) else min(quiet + 1, _QUIET)
        return [_pace(quiet, now), now, *answers]


def _pace(before: int, now: int) -> Any:
    """Return the timer's new interval, if it changes."""
    if (before == _QUIET) == (now == _QUIET):
        return gr.skip()
    return gr.Timer(_QUIET_SECONDS if now == _QUIET else _SECONDS)
