"""The view of a run in a terminal, and as plain lines where there is no terminal."""

import sys
import time
from collections.abc import Callable

import pytest

from resnet_cifar.cli import terminal
from resnet_cifar.events import Progress, StageStarted, StepLogged
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import recipe

STARTED = StageStarted(
    stage=0,
    name="everything",
    epochs=2,
    steps=7,
    images=100,
    trainable=("fc",),
    image_sizes=(32,),
    batch_size=16,
)


@pytest.fixture
def shown(
    new_run: Callable[..., RunDir], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Show a step at a given speed: everything that is printed then."""

    def show(images_per_second: float, live: bool) -> str:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: live)
        monkeypatch.setattr(terminal, "_LINE_EVERY", 0.0)
        view = terminal.TerminalView(new_run(recipe()), time.monotonic())
        view.show(STARTED)
        view.show(Progress(phase="train", done=1, total=7))
        view.show(
            StepLogged(stage=0, epoch=0, step=0, loss=4.5, lr=0.1, images=16, images_per_second=images_per_second)
        )
        time.sleep(0.15)  # tqdm draws ten times a second at most
        capsys.readouterr()
        view.show(Progress(phase="train", done=2, total=7))
        printed = capsys.readouterr()
        return printed.out + printed.err

    return show


@pytest.mark.parametrize("images_per_second", [999.0, 1_000.0, 1_234_567.0])
def test_a_bar_shows_loss_and_learning_rate_at_any_speed(shown: Callable[..., str], images_per_second: float):
    """tqdm adds a speed of its own."""
    line = shown(images_per_second, live=True)
    assert line.endswith(", epoch 1/2, loss 4.500, lr 0.1000]"), line
    assert "images/s" not in line


def test_a_plain_line_shows_the_speed_too(shown: Callable[..., str]):
    assert shown(1_234.0, live=False) == "  everything: 16.00 %  epoch 1/2, loss 4.500, lr 0.1000, 1,234 images/s\n"
