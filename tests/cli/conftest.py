"""What tests of the command line share: a small run, and the command line in this process."""

from collections.abc import Callable

import pytest

from resnet_cifar.cli import main as cli

SMALL = (
    *("--recipe", "quick", "--arch", "tiny", "--data", "synthetic"),
    *("--train-images", "200", "--val-images", "100", "--epochs", "1"),
)
"""Options of a run that takes a second."""


@pytest.fixture
def main(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the command line in this process: exit code, and what was written to stderr."""

    def call(*arguments: object) -> tuple[int, str]:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(str(end.code))
        return code, capsys.readouterr().err

    return call
