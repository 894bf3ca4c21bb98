"""The table of what differs between the recipes of the ticked runs."""

from collections.abc import Sequence
from html import escape

import gradio as gr

from resnet_cifar.recipe.diff import differences
from resnet_cifar.report.styles import colour_of
from resnet_cifar.runs.record import Record


def comparison_table() -> gr.HTML:
    """Create the table. Its value is the HTML of `compared`."""
    return gr.HTML(apply_default_css=False, js_on_load=None, elem_id="differences")


def compared(records: Sequence[Record]) -> str:
    """Return what differs between the recipes of runs as HTML; nothing for fewer than two runs."""
    if len(records) < 2:
        return ""
    lines = differences([record.recipe for record in records])
    if not lines:
        return _card("<p>The recipes of these runs do not differ.</p>", 0)
    heads = "".join(
        f'<th scope="col"><span class="swatch" style="--run: {colour_of(record.run)}"></span>'
        f"{escape(record.run.name)}</th>"
        for record in records
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(field)}</th>{"".join(f"<td>{escape(value)}</td>" for value in values)}</tr>'
        for field, values in lines
    )
    table = f'<table><thead><tr><th scope="col">Field</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return _card(f'<div class="scroll" tabindex="0" role="region" aria-label="Differences">{table}</div>', len(lines))


def _card(content: str, count: int) -> str:
    number = "" if not count else f' <span class="count">{count} field{"s" if count > 1 else ""}</span>'
    return f'<div class="differences card"><h2>What differs between their recipes{number}</h2>{content}</div>'
