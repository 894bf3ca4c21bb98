"""Middleware that tells the page's long computations when a request is answered."""

from contextlib import nullcontext

from starlette.types import ASGIApp, Receive, Scope, Send

from resnet_cifar.system.priority import REQUESTS


class Answering:
    """Let computations wait for requests that ask for something. Streams of answers stay open, and do not count."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request."""
        counts = scope["type"] == "http" and scope["method"] == "POST"
        with REQUESTS.answering() if counts else nullcontext():
            await self._app(scope, receive, send)
