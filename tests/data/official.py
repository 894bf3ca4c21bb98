"""A small data set packed like the official CIFAR-100, and a server that sends it, or something else."""

import hashlib
import io
import pickle
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from resnet_cifar.recipe.classes import COARSE, FINE

ARCHIVE = "cifar-100-python.tar.gz"
FOLDER = "cifar-100-python"


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def _pickled(seed: int, images: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (images, 3072), dtype=np.uint8)
    labels = [row % 100 for row in range(images)]
    return pickle.dumps({"data": pixels, "fine_labels": labels, "coarse_labels": [0] * images}, protocol=2)


def pack(train: int = 300, test: int = 100) -> tuple[bytes, dict[str, Any]]:
    """An archive, and what torchvision's class is to believe of it: attributes by name."""
    names = {"fine_label_names": list(FINE), "coarse_label_names": list(COARSE)}
    files = {"train": _pickled(0, train), "test": _pickled(1, test), "meta": pickle.dumps(names, protocol=2)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    digests = {name: _md5(content) for name, content in files.items()}
    facts = {
        "tgz_md5": _md5(packed.getvalue()),
        "train_list": [["train", digests["train"]]],
        "test_list": [["test", digests["test"]]],
        "meta": {"filename": "meta", "key": "fine_label_names", "md5": digests["meta"]},
    }
    return packed.getvalue(), facts


def believe(facts: Mapping[str, Any]) -> None:
    """Make torchvision's class of this process take the small data set for the official one."""
    from torchvision.datasets import CIFAR100

    for name, value in facts.items():
        setattr(CIFAR100, name, value)


Answer = Callable[[BaseHTTPRequestHandler], None]
"""What a server does with a GET."""


def send(content: bytes, length: int | None = None, *, status: int = 200, chunk: int = 0, pause: float = 0) -> Answer:
    """Send `content`, in chunks with a pause after each, and say that its length is `length`; then close."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        for start in range(0, len(content), chunk or len(content)):
            handler.wfile.write(content[start : start + (chunk or len(content))])
            time.sleep(pause)

    return answer


def redirect(to: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@contextmanager
def served(*answers: Answer) -> Iterator[str]:
    """Serve at the URL that is yielded: each GET gets the next answer, and all others the last one."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):  # the other side was killed
                (left.pop(0) if len(left) > 1 else left[0])(self)

        def do_HEAD(self) -> None:  # torchvision follows redirects with it
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{ARCHIVE}"
    finally:
        server.shutdown()
        server.server_close()
