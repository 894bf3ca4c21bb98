"""Middleware that bounds what a request may hold, and refuses requests that the page never makes.

A body is refused before it is read: by its Content-Length, or as soon as more has arrived than is allowed.
"""

import re
import resource
from contextlib import suppress

import anyio.to_thread
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resnet_cifar.ui.upload_folder import Uploads

MAX_BODY = 500_000
"""Bytes of a request that is no upload. The largest that the page sends is a webcam's image in base64, of 20 kB."""
MAX_VALUES = 20_000
"""Values in such a request; those of the page have 400. Gradio keeps them for each session: 1.5 MB of empty lists were
45 MB there."""
MAX_PARTS = 10
"""Parts of a form; the page sends one file at a time. Each is an open file until all have arrived."""
_CONNECTIONS = 65_536  # 10,000 idle ones take 46 MB
_BEFORE_A_VALUE = (b",", b"[", b"{")  # in JSON; in its texts they count, too
_AROUND_A_FILE = 100_000  # bytes of a form beside its file
_NO_ROOM = "There is no room for more uploads at the moment; try again in a minute."
_UPLOAD = "/gradio_api/upload"
_NEVER_ASKED = re.compile(
    r"/gradio_api/(file[=/]https?:|proxy=|upload_progress|deep_link|dev/|process_recording|stream/|run-history/"
    r"|custom_component/|(undo-)?vibe-)|/monitoring"
)
"""Paths by which Gradio fetches other sites, writes files, remembers or polls. Nothing of this page is there."""


def allow_connections() -> None:
    """Raise the limit of open files as far as this process may: at 1,024, so many idle connections closed the page."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, _CONNECTIONS)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # macOS has a second limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Body:
    """What has arrived of a request's body."""

    def __init__(self, scope: Scope) -> None:
        _, options = parse_options_header(Headers(scope=scope).get("content-type"))
        boundary = options.get(b"boundary")
        self._delimiter = b"--" + boundary if boundary else None
        self._is_upload = scope["path"] == _UPLOAD
        self._end = b""
        self.size = self.parts = self.values = 0

    def add(self, arrived: bytes) -> None:
        """Count what has arrived; a delimiter of parts may arrive in pieces."""
        self.size += len(arrived)
        if not self._is_upload:
            self.values += sum(map(arrived.count, _BEFORE_A_VALUE))
        if self._delimiter is not None:
            content = self._end + arrived
            self.parts += content.count(self._delimiter)
            self._end = content[max(0, len(content) - len(self._delimiter) + 1) :]


class Limits:
    """Answer 413 to what is too large or finds no room, and 404 to what the page never asks for."""

    def __init__(self, app: ASGIApp, uploads: Uploads, largest: int) -> None:
        """`largest`: bytes of the largest file that may be uploaded."""
        self._app = app
        self._uploads = uploads
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request within the limits, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _NEVER_ASKED.match(scope["path"]):
            await PlainTextResponse("this page does not serve that", 404)(scope, receive, send)
        elif why_not := await self._why_not_begin(scope["path"], _announced(scope)):
            await PlainTextResponse(why_not, 413)(scope, receive, send)
        else:
            await self._forward(scope, receive, send)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, and look at its body while it arrives."""
        if scope["path"] == _UPLOAD:
            scope["query_string"] = b""  # Gradio would remember its `upload_id` as long as the page is served
        body, why_not, answered = Body(scope), None, False

        async def bounded() -> Message:
            nonlocal why_not
            message = await receive()
            if (arrived := message.get("body", b"")) and not why_not:
                body.add(arrived)
                why_not = await self._why_not(scope["path"], body, len(arrived))
            if why_not:
                raise MultiPartException(why_not)  # Gradio deletes what has arrived
            return message

        async def unless_refused(message: Message) -> None:
            nonlocal answered
            if answered or not why_not:  # Gradio's own answer to the exception is another one
                answered = True
                await send(message)

        try:
            await self._app(scope, bounded, unless_refused)
        except MultiPartException:
            if not why_not:
                raise
        if why_not and not answered:
            await PlainTextResponse(why_not, 413)(scope, receive, send)

    async def _why_not_begin(self, path: str, size: int) -> str | None:
        """Return why a request that announces `size` bytes is refused."""
        return self._too_large(path, size) or (await self._no_room(size) if path == _UPLOAD else None)

    async def _why_not(self, path: str, body: Body, arrived: int) -> str | None:
        """Return why a request is refused of which `arrived` bytes more have arrived."""
        if body.parts > MAX_PARTS + 1:  # the last one ends the form
            return f"This form is too long: it may have up to {MAX_PARTS} parts."
        if path == _UPLOAD:
            self._uploads.receive(arrived)
            if why_not := self._too_large(path, body.size) or await self._no_room(0):
                self._uploads.receive(-body.size)  # or uploads at the same time would leave no room for any of them
            return why_not
        if body.values > MAX_VALUES:
            return f"This request is too large: it may have up to {MAX_VALUES:,} values."
        return self._too_large(path, body.size)

    def _too_large(self, path: str, size: int) -> str | None:
        if path != _UPLOAD:
            return f"This request is too large: it may have up to {MAX_BODY:,} bytes." if size > MAX_BODY else None
        if size > self._largest + _AROUND_A_FILE:
            return f"This upload is too large: a file may have up to {self._largest / 2**20:,.0f} MB."
        return None

    async def _no_room(self, more: int) -> str | None:
        if self._uploads.is_full(more) and self._uploads.may_look:
            await anyio.to_thread.run_sync(self._uploads.sweep)
        return _NO_ROOM if self._uploads.is_full(more) else None


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isdecimal() else 0
