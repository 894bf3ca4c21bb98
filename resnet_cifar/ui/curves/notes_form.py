"""The form of a run's notes, tags and colour."""

import json
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from resnet_cifar.errors import UserError
from resnet_cifar.hub.catalog import fixed_runs
from resnet_cifar.report.styles import PALETTE
from resnet_cifar.runs.notes import Notes, read_notes, write_notes
from resnet_cifar.runs.record import Records
from resnet_cifar.ui.curves.runs import changeable
from resnet_cifar.ui.options import CHANGES
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights

_TEMPLATE = f"""
<form class="notes card" data-palette="{escape(json.dumps(PALETTE))}" hidden>
<h3>Notes</h3>
<textarea rows="3" maxlength="4000" aria-label="Notes" placeholder="What you tried, and what came of it"></textarea>
<label>Tags <input class="tags-of-run" autocomplete="off" placeholder="separated by commas"></label>
<fieldset><legend>Colour in plots</legend></fieldset>
<div class="tools"><button type="submit">Save</button><span role="status"></span></div>
</form>
"""


def notes_form(records: Records, rights: Rights) -> tuple[gr.HTML, Dependency]:
    """Create the form, and the event that saves. Its value comes from `noted`."""
    form = gr.HTML(
        html_template=_TEMPLATE,
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="notes",
    )

    def saved(event: gr.EventData) -> None:
        save(records, rights, event.name, event.text, event.tags, event.colour)

    return form, form.submit(saved, None, None, trigger_mode="multiple", **CHANGES)


def noted(records: Records, rights: Rights, name: str) -> dict[str, Any] | None:
    """Return what the form holds; None for those who may not change the run."""
    if not rights.change or name in fixed_runs() or name not in records.names():
        return None
    notes = read_notes(records.root / name)
    return {"name": name, "text": notes.text, "tags": notes.tags, "colour": notes.colour % len(PALETTE)}


def save(records: Records, rights: Rights, name: str, text: str, tags: list[str], colour: int) -> None:
    """Save the notes of a run."""
    rights.need()
    try:
        run = changeable(records, name)
        tidy = tuple(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
        notes = Notes(text=text.strip(), tags=tidy, colour=read_notes(run.path).colour)
        write_notes(run.path, replace(notes, colour=colour) if colour in range(len(PALETTE)) else notes)
    except UserError as error:
        raise refuse(error) from error
