"""What the page asks for every second, or more rarely."""

from typing import Any

import gradio as gr

from resnet_cifar.ui.clock import Clock

SKIP = gr.skip()


def test_it_is_asked_more_rarely_until_there_is_news():
    clock, news = Clock(), [SKIP]
    clock.tick(lambda: [SKIP, SKIP], [], [None, None])
    clock.tick(lambda: news, [], [None])
    quiet = 0

    def intervals(times: int) -> list[Any]:
        nonlocal quiet
        found = []
        for _ in range(times):
            timer, quiet, *answers = clock._answers(quiet)
            assert answers == [SKIP, SKIP, *news]
            found.append(SKIP if timer == SKIP else timer.value)
        return found

    assert intervals(7) == [SKIP, SKIP, SKIP, SKIP, 3.0, SKIP, SKIP]
    news[:] = ["a line"]
    assert intervals(2) == [1.0, SKIP]
    news[:] = [SKIP]
    assert intervals(5) == [SKIP, SKIP, SKIP, SKIP, 3.0]


def test_an_error_of_one_part_costs_the_others_nothing(capsys):
    clock = Clock()
    clock.tick(lambda: [1 / 0], [], [None])
    clock.tick(lambda value: [value + 1], ["input"], [None])
    assert clock._answers(0, 41)[2:] == [SKIP, 42]
    assert "ZeroDivisionError" in capsys.readouterr().err
