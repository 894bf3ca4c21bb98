"""Forgets what visitors leave behind while the page is served: uploads, sessions, and answers that nobody fetches."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio.to_thread
from gradio import processing_utils
from gradio.routes import App

from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.upload_folder import Uploads

MAX_SESSIONS = 200
"""Sessions that are kept, those used last: each takes about 0.17 MB. An open page uses its own every second."""
_UNREAD = 64  # messages of a session, after which nobody is reading them
_PAUSE = 10  # seconds between cleanings
_SINGLE_CALL = re.compile(r"[0-9a-f]{32}")
"""Session of a call without one; Gradio names it like the event."""


def cleaning(uploads: Uploads) -> Callable[[App], AbstractAsyncContextManager[None]]:
    """Return a lifespan of the server, which cleans up every few seconds."""

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        async def clean() -> None:
            while True:
                await anyio.to_thread.run_sync(uploads.sweep)
                forget(app)
                await asyncio.sleep(_PAUSE)

        task = asyncio.create_task(clean())
        yield
        task.cancel()

    return lifespan


def forget(app: App) -> None:
    """Forget what Gradio's queue keeps of sessions that are over, which it never does itself.

    A single call is over when its answer was fetched; other sessions when there are `MAX_SESSIONS` newer ones.
    """
    holder, queue = app.state_holder, app.get_blocks()._queue
    for session, waiting in list(queue.pending_event_ids_session.items()):
        if not waiting and _SINGLE_CALL.fullmatch(session):
            holder.session_data.pop(session, None)
            holder.time_last_used.pop(session, None)
        messages = queue.pending_messages_per_session.get(session)
        unread = messages is not None and messages.qsize() > _UNREAD
        at_work = any(event in queue.event_ids_to_events for event in waiting)
        if unread or not (at_work or session in holder):
            queue.pending_messages_per_session.pop(session, None)
            queue.pending_event_ids_session.pop(session, None)


def fetch_nothing() -> None:
    """Keep Gradio from fetching an address that a visitor sends in place of an upload: it has no setting for that."""

    async def refused(url: str, cache_dir: str) -> str:
        raise refuse("only uploads are accepted, not addresses.")

    processing_utils.async_ssrf_protected_download = refused
