"""What the page asks for every second, in one request: each event of gradio costs as much as most answers."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from resnet_cifar.ui.options import QUIET

_SECONDS = 1.0


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
        """Call `answer` every second with the values of `inputs`; it returns a value for each of `outputs`."""
        self._parts.append(_Part(answer, inputs, outputs))

    def start(self) -> None:
        """Start the timer."""
        inputs = [one for part in self._parts for one in part.inputs]
        outputs = [one for part in self._parts for one in part.outputs]
        gr.Timer(_SECONDS).tick(self._answers, inputs, outputs, **QUIET)

    def _answers(self, *values: Any) -> list[Any]:
        answers: list[Any] = []
        rest = list(values)
        for part in self._parts:
            own, rest = rest[: len(part.inputs)], rest[len(part.inputs) :]
            try:
                answers += part.answer(*own)
            except Exception:  # the others go on
                traceback.print_exc()
                answers += [gr.skip()] * len(part.outputs)
        return answers
