"""How long the page takes to open, and how long `/classify` takes to answer, alone and with many clients at once."""

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


def opened(port: int) -> tuple[subprocess.Popen[str], float]:
    """The app as a process, and the seconds until it said where its page is."""
    began = time.perf_counter()
    command = [sys.executable, str(_APP), "--port", str(port)]
    app = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert app.stdout is not None
    if "the page is at" not in app.stdout.readline():
        raise SystemExit("the page did not open")
    return app, time.perf_counter() - began


def asked(client: Client, image: Path) -> float:
    """Seconds of one question."""
    began = time.perf_counter()
    client.predict(handle_file(image), None, api_name="/classify")
    return time.perf_counter() - began


def main() -> None:
    """Needs a checkpoint under checkpoints/."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--port", type=int, default=7861)
    flags.add_argument("--questions", type=int, default=30)
    args = flags.parse_args()
    app, start = opened(args.port)
    try:
        client, *others = [Client(f"http://127.0.0.1:{args.port}", verbose=False) for _ in range(33)]
        with tempfile.TemporaryDirectory() as folder:
            image = Path(folder) / "image.png"
            Image.effect_noise((640, 480), 64).convert("RGB").save(image)
            first = asked(client, image)
            took = [asked(client, image) for _ in range(args.questions)]
            with ThreadPoolExecutor(32) as threads:
                at_once = list(threads.map(asked, others, [image] * 32))
        print(f"from start to page            {start:6.1f} s")
        print(f"first answer                  {first:6.2f} s (loads the model)")
        print(f"/classify, median of {args.questions:<3}      {1000 * statistics.median(took):6.0f} ms")
        print(f"32 clients, the slowest       {1000 * max(at_once):6.0f} ms, no error")
    finally:
        app.kill()


if __name__ == "__main__":
    main()
