"""What the page asks for every second, or more rarely."""

from typing import Any

import gradio as gr
import pytest

from resnet_cifar.ui import clock as clocks
from resnet_cifar.ui.clock import Clock
from tests.ui.conftest import free_port

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


_CLOSE_LATE = """
const fetched = window.fetch;
let joined = () => {};
window.fetch = async (...asked) => {
  const answer = await fetched(...asked);
  const url = String(asked[0].url ?? asked[0]);
  if (url.includes("queue/join")) setTimeout(joined, 200);
  if (!url.includes("queue/data")) return answer;
  const late = new TransformStream({ async transform(chunk, out) {
    const text = new TextDecoder().decode(chunk), end = text.search('data: {"msg":"close_stream"');
    if (end < 0 || window.closed_late) return out.enqueue(chunk);
    window.closed_late = true;
    out.enqueue(new TextEncoder().encode(text.slice(0, end)));
    await new Promise(go => joined = go);
    out.enqueue(new TextEncoder().encode(text.slice(end)));
  } });
  return new Response(answer.body.pipeThrough(late), { status: answer.status, headers: answer.headers });
};
"""
"""The first end of a stream of answers arrives after the next event was sent; all other answers come at once."""


def test_an_event_that_is_sent_while_the_stream_ends_is_answered(browser, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clocks, "_LATEST", 2.0)
    with gr.Blocks() as blocks:
        shown, ticks = gr.Textbox("0", label="count"), Clock()
        gr.Button("count").click(lambda value: str(int(value) + 1), shown, shown)
        ticks.start()
    _, url, _ = blocks.launch(server_port=free_port(), prevent_thread_lock=True, quiet=True)
    page = browser.new_page()
    page.add_init_script(_CLOSE_LATE)
    page.goto(url)
    for count in ("1", "2"):
        page.get_by_role("button", name="count").click()
        page.wait_for_function(f"document.querySelector('textarea, input').value === '{count}'")
    assert page.evaluate("window.closed_late")
    page.close()
    blocks.close()
