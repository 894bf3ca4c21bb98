"""The long computations of the Inspect tab: who may start and stop them, and one at a time."""

import threading
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.inspect.inspected import Inspected
from resnet_cifar.ui.inspect.offers import Offers
from resnet_cifar.ui.inspect.works import Works
from resnet_cifar.ui.rights import Rights
from tests.builders import CPU, wait


def test_rights_are_checked_again_when_a_computation_is_asked_for(tmp_path: Path):
    rights = Rights("not today")
    offers = Offers(Inspected(Models(tmp_path, rights)), rights, CPU)
    question = {"run": "large", "split": "test", "kind": "predictions"}
    for attempt in (offers.begin, offers.halt):
        with pytest.raises(gr.Error, match="not today"):
            attempt(question)
    assert offers.progress(question) is None


def test_one_computation_at_a_time_each_can_be_stopped_and_its_error_is_told():
    works, go, done = Works(), threading.Event(), []

    def slow() -> Iterator[Progress]:
        for number in range(1_000_000):
            yield Progress(phase="test", done=number + 1, total=1_000_000)
            go.wait(0.01)

    def failing() -> Iterator[Progress]:
        yield Progress(phase="test", done=1, total=2)
        raise UserError("no such data")

    def quick() -> Iterator[Progress]:
        yield Progress(phase="test", done=1, total=1)
        done.append(1)

    works.start("slow", slow)
    wait(lambda: (works.state("slow") or {}).get("done", 0) > 2)
    works.start("slow", quick)  # it is at work already
    works.start("failing", failing)
    works.start("quick", quick)
    assert works.state("failing") == works.state("quick") == {"waiting": True} and not done
    works.stop("slow")
    wait(lambda: works.state("quick") is None)
    assert works.state("slow") is None and done == [1]
    wait(lambda: works.state("failing") == {"error": "no such data"})
    works.start("failing", quick)
    wait(lambda: works.state("failing") is None)
    assert done == [1, 1]
