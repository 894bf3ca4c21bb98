"""Gradio's queue: which events of the page bypass it, and which lanes the others wait in.

A lane is a queue of its own (`concurrency_id`), so that slow events delay only each other.
"""

from typing import Any

MAX_WAITING = 64
"""Events in all lanes; more are refused."""

POLLED: dict[str, Any] = {"queue": False}
"""API endpoints that are asked again and again."""

QUIET: dict[str, Any] = POLLED | {"show_progress": "hidden", "api_visibility": "private"}
"""Timers and updates that must not wait. Their refusals are not shown."""

AWAKE: dict[str, Any] = {
    "concurrency_id": "awake",
    "trigger_mode": "multiple",  # it goes on where its own answer is missed
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""A timer that waits in the queue only to have answers of other events delivered."""

PREDICTIONS: dict[str, Any] = {"concurrency_id": "predictions", "concurrency_limit": 16}
"""One computes, while others wait to be answered with it; those after them are already read."""

INSPECTIONS: dict[str, Any] = {"concurrency_id": "inspections", "show_progress": "hidden", "api_visibility": "private"}
"""Explanations of single images in the Inspect tab, one at a time. Its long computations have a thread of their own."""

DOWNLOADS: dict[str, Any] = {"concurrency_id": "fetch", "show_progress": "hidden", "api_visibility": "private"}
"""Models from the Hub."""

CHANGES: dict[str, Any] = {
    "concurrency_id": "changes",
    "concurrency_limit": 4,
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""Actions that change runs. Their refusals are shown."""

UPLOADS: dict[str, Any] = CHANGES | {"concurrency_id": "hub", "concurrency_limit": 2}
"""Whatever waits for the Hub in the Publish tab."""
