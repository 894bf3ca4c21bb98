"""Options of event listeners, shared by several tabs."""

from typing import Any

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For timers and updates that must not wait in a queue. Their refusals are not shown."""

CHANGES: dict[str, Any] = {
    "concurrency_id": "changes",
    "concurrency_limit": 4,
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""For actions that change runs: they have a queue of their own, and their refusals are shown."""
