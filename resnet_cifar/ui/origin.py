"""Turns away what other sites make a visitor's browser send: a page elsewhere must not start or delete runs here."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "::1")


class SameOrigin:
    """Refuses requests that come from another origin, and on a local page those that were sent to another name.

    The second is what a site can do whose name is made to point here (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, local: bool) -> None:
        self._app = app
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        if scope["type"] == "http" and not self._is_welcome(Headers(scope=scope)):
            await PlainTextResponse("requests from other sites are refused", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_welcome(self, headers: Headers) -> bool:
        host = headers.get("host", "")
        if self._local and urlsplit(f"//{host}").hostname not in LOCAL:
            return False
        origin = headers.get("origin")
        return origin is None or urlsplit(origin).netloc in (host, headers.get("x-forwarded-host"))
