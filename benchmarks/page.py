"""Time until the page opens, response time of `/classify` with one client and with 32 at once, and time of a tick.

Needs a checkpoint in `checkpoints/`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gradio_client import Client, handle_file
from PIL import Image

from resnet_cifar.runs.record import Records
from resnet_cifar.ui.curves.rows import Rows
from resnet_cifar.ui.curves.tab import update
from resnet_cifar.ui.rights import Rights
from tests.builders import recipe, told

_APP = Path(__file__).resolve().parent.parent / "app.py"


def start_app(port: int) -> tuple[subprocess.Popen[str], float]:
    """Start the app; returns its process and the seconds until it printed the address of its page."""
    began = time.perf_counter()
    command = [sys.executable, str(_APP), "--port", str(port)]
    app = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait_for_page(app)
    return app, time.perf_counter() - began


def wait_for_page(app: subprocess.Popen[str]) -> None:
    """Wait until a process that serves a page prints its address."""
    assert app.stdout is not None
    if "the page is at" not in app.stdout.readline():
        raise SystemExit("the page did not open")


def response_time(client: Client, image: Path) -> float:
    """Classify an image; returns the seconds until the response."""
    began = time.perf_counter()
    client.predict(handle_file(image), None, api_name="/classify")
    return time.perf_counter() - began


def tick_time(runs: int = 100, ticks: int = 20) -> float:
    """Update the Curves tab with many runs in the folder; returns the median seconds if nothing has changed."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            told(Path(folder) / f"run-{number}", recipe(seed=number))
        rows, has = Rows(Records(Path(folder))), None
        times = []
        for _ in range(1 + ticks):
            began = time.perf_counter()
            *_, has = update(rows, Rights(), None, has)
            times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--port", type=int, default=7861)
    flags.add_argument("--questions", type=int, default=30)
    args = flags.parse_args()
    app, start = start_app(args.port)
    try:
        client, *others = [Client(f"http://127.0.0.1:{args.port}", verbose=False) for _ in range(33)]
        with tempfile.TemporaryDirectory() as folder:
            image = Path(folder) / "image.png"
            Image.effect_noise((640, 480), 64).convert("RGB").save(image)
            first = response_time(client, image)
            times = [response_time(client, image) for _ in range(args.questions)]
            with ThreadPoolExecutor(32) as threads:
                at_once = list(threads.map(response_time, others, [image] * 32))
        print(f"from start to page            {start:6.1f} s")
        print(f"first response                {first:6.2f} s (loads the model)")
        print(f"/classify, median of {args.questions:<3}      {1000 * statistics.median(times):6.0f} ms")
        print(f"32 clients, the slowest       {1000 * max(at_once):6.0f} ms, no error")
    finally:
        app.kill()
    print(f"a tick with 100 runs:         {1000 * tick_time():6.1f} ms")


if __name__ == "__main__":
    main()
