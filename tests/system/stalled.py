"""The command line with a download that never moves on; started by torchrun, in a test."""

import sys
import threading
from collections.abc import Generator
from pathlib import Path

from resnet_cifar.cli.main import main
from resnet_cifar.data import cifar100
from resnet_cifar.events import Progress
from resnet_cifar.paths import DATA
from resnet_cifar.system.background import in_background


def download(root: Path = DATA, source: str | None = None) -> Generator[Progress, None, Path]:
    yield from in_background(threading.Event().wait, lambda: Progress(phase="download", done=1, total=2))
    raise AssertionError("never moves on")


if __name__ == "__main__":
    cifar100.download = download
    sys.exit(main(["--train-only", "--device", "cpu", "--recipe", "quick", "--run", sys.argv[1]]))
