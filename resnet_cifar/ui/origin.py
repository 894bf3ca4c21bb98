"""Middleware against cross-site requests: a page on another site must not start or delete runs here."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "::1")


class SameOrigin:
    """Refuse requests with a foreign Origin and, if the page is local, with a foreign Host.

    The Host check stops DNS rebinding: a foreign name that is made to resolve to this machine.
    """

    def __init__(self, app: ASGIApp, local: bool) -> None:
        self._app = app
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or answer 403."""
        if scope["type"] == "http" and not self._is_allowed(Headers(scope=scope)):
            await PlainTextResponse("requests from other sites are refused", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_allowed(self, headers: Headers) -> bool:
        host = headers.get("host", "")
        if self._local and urlsplit(f"//{host}").hostname not in LOCAL:
            return False
        origin = headers.get("origin")
        return origin is None or urlsplit(origin).netloc in (host, headers.get("x-forwarded-host"))
