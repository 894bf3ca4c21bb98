"""Options that event listeners of several tabs share."""

from typing import Any

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For what happens every second, or must not wait. What it refuses is not shown."""

CHANGES: dict[str, Any] = {
    "concurrency_id": "changes",
    "concurrency_limit": 4,
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""For what changes runs: it queues with its like alone, and its refusals are shown."""
