"""Time until the page opens, and response time of `/classify` with one client and with 32 at once.

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

from gradio_client import Client, handle_file
from PIL import Image

_APP = Path(__file__).resolve().parent.parent / "app.py"


def start_app(port: int) -> tuple[subprocess.Popen[str], float]:
    """Start the app; returns its process and the seconds until it printed the address of its page."""
    began = time.perf_counter()
    command = [sys.executable, str(_APP), "--port", str(port)]
    app = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert app.stdout is not None
    if "the page is at" not in app.stdout.readline():
        raise SystemExit("the page did not open")
    return app, time.perf_counter() - began


def response_time(client: Client, image: Path) -> float:
    """Classify an image; returns the seconds until the response."""
    began = time.perf_counter()
    client.predict(handle_file(image), None, api_name="/classify")
    return time.perf_counter() - began


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


if __name__ == "__main__":
    main()
