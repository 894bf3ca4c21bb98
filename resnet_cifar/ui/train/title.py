"""The window's title with the progress of the run at work, and a notification at its end, whichever tab is open."""

from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.status import State, state


def title_html(records: Records) -> gr.HTML:
    """Create the component that keeps the title; it shows nothing itself. It must stand outside the tabs.

    Gradio mounts the content of a tab when the tab is first opened. Its value is `progress_of` a run.
    """

    def progress(name: str) -> dict[str, Any]:
        """Return a run's progress, for pages that are hidden."""
        try:
            return progress_of(state(records.get(name)))
        except UserError:
            return {}

    return gr.HTML(
        html_template="",
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        container=False,
        padding=False,
        elem_id="window-title",
        server_functions=[progress],
    )


def progress_of(state: State) -> dict[str, Any]:
    """Return the progress of a run: name, status, and how many percent are done."""
    return {"name": state.name, "status": state.status, "part": percent_done(state)}


def percent_done(state: State) -> int:
    """Return how many whole percent of a run are done."""
    return int(100 * state.part_done)
