"""How many answers `/classify` gives to many clients at once, how quickly, and how quick a run beside them stays.

Needs a checkpoint in `checkpoints/`. The clients use plain HTTP and take little of the cores.
"""

import argparse
import asyncio
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import torch

from benchmarks.page import wait_for_page
from resnet_cifar.events import StepLogged
from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.paths import CHECKPOINTS, SOURCE
from resnet_cifar.recipe.presets import recipe_named
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.ui.classify.examples import example_image

_IMAGES = 8_000
_SERVE = """
import sys
from pathlib import Path
from resnet_cifar.ui.page import serve
serve(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]))
"""


async def ask(client: httpx.AsyncClient, session: str, image: bytes, model: str) -> dict[str, Any]:
    """Classify an image, in one session as gradio's own client does; returns the answer."""
    files = {"files": ("image", image)}
    (path,) = (await client.post("/gradio_api/upload", files=files)).raise_for_status().json()
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, model], "session_hash": session}
    called = (await client.post("/gradio_api/call/classify", json=data)).raise_for_status().json()
    answer = await client.get(f"/gradio_api/call/classify/{called['event_id']}")
    if "event: complete" not in answer.text:
        raise SystemExit(f"an error instead of an answer: {answer.text[:500]}")
    (content,) = json.loads(answer.text.partition("data: ")[2])
    return dict(content)


Answers = list[tuple[float, dict[str, Any]]]
"""Seconds and content of each answer."""


def ask_all(*how: Any) -> Answers:
    """Let clients ask; see `_load`. In a thread of its own, because a browser may use this one's event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(_load(*how))).result()


async def _load(url: str, clients: int, seconds: float, image: bytes, model: str = SHIPPED) -> Answers:
    """Let clients ask one after the other, all at the same time, at least once."""
    answers: Answers = []
    deadline = time.monotonic() + seconds

    async def one(session: str) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=120) as client:
            while (began := time.monotonic()) < deadline or not answers:
                answer = await ask(client, session, image, model)
                answers.append((time.monotonic() - began, answer))

    await asyncio.gather(*(one(f"client{number}") for number in range(clients)))
    return answers


def start_run(launcher: Launcher) -> RunDir:
    """Start a run of `quick` on synthetic images that takes hours; returns it once it trains."""
    recipe = recipe_named("quick")
    (stage,) = recipe.stages
    long = replace(recipe, data="synthetic", train_images=_IMAGES, val_images=100, log_every=1)
    long = replace(long, stages=(replace(stage, epochs=9_999),))
    run = launcher.start(long, None)
    while not trained(run):
        time.sleep(0.5)
    return run


def trained(run: RunDir) -> int:
    """Images that a run has trained on."""
    steps = [event for event, _ in run.history() if isinstance(event, StepLogged)]
    return steps[-1].epoch * _IMAGES + steps[-1].images if steps else 0


class Speed:
    """Speed of a run from now on, in images per second."""

    def __init__(self, run: RunDir) -> None:
        self._run, self._began, self._before = run, time.monotonic(), trained(run)

    def __str__(self) -> str:
        return f"{(trained(self._run) - self._before) / (time.monotonic() - self._began):.0f} images/s"


@contextmanager
def served(root: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Serve a page over a folder with the model that ships, in a process of its own."""
    (root / SHIPPED).symlink_to(CHECKPOINTS / SHIPPED)
    command = [sys.executable, "-c", _SERVE, str(root), str(port)]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=SOURCE)
    try:
        wait_for_page(page)
        yield page
    finally:
        page.kill()
        page.wait()  # or it could still open a file of a folder that is being deleted


@contextmanager
def training(root: Path) -> Iterator[RunDir]:
    """Train a run beside the page."""
    launcher = Launcher(root, torch.device("cpu"))
    run = start_run(launcher)
    try:
        yield run
    finally:
        launcher.stop(run)
        while run.holder():
            time.sleep(0.2)


def photograph() -> bytes:
    """An image to classify: a JPEG file of 30 kB."""
    file = io.BytesIO()
    example_image("cup").save(file, "JPEG")
    return file.getvalue()


def quantiles(answers: Answers) -> str:
    """Format their times as median, 95th and 99th percentile."""
    ordered = sorted(seconds for seconds, _ in answers)
    return ", ".join(f"{1000 * ordered[int(part * len(ordered))]:.0f}" for part in (0.5, 0.95, 0.99)) + " ms"


def labels(answers: Answers) -> set[str]:
    """Return all labels that were answered."""
    return {answer["label"] for _, answer in answers}


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--port", type=int, default=7862)
    flags.add_argument("--clients", type=int, default=32)
    flags.add_argument("--seconds", type=float, default=30)
    flags.add_argument("--without-run", action="store_true")
    args = flags.parse_args()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(served(root, args.port))
        url, image, speed = f"http://127.0.0.1:{args.port}", photograph(), None
        expected = labels(ask_all(url, 1, 3, image))
        if not args.without_run:
            run = stack.enter_context(training(root))
            speed = Speed(run)
            time.sleep(args.seconds / 2)
            print(f"the run alone        {speed}")
            speed = Speed(run)
        answers = ask_all(url, args.clients, args.seconds, image)
        print(f"answers a second     {len(answers) / args.seconds:.1f}")
        print(f"median, p95, p99     {quantiles(answers)}")
        print(f"the same answer      {'yes' if labels(answers) == expected else f'no: {labels(answers)}'}")
        if speed:
            print(f"the run beside them  {speed}")


if __name__ == "__main__":
    main()
