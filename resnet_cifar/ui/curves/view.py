"""What a visitor looks at: the ticked runs, the open run and the axes. It belongs to the browser alone.

No event of the page writes it, so an answer that arrives late cannot undo a tick.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from resnet_cifar.report.series import By

MOST_SHOWN = 12
"""Runs in a plot; more could not be told apart."""
_MOST_SMOOTH = 0.98
_CHOICES = "".join(
    f'<label><input type="radio" name="by" value="{by}"{" checked" * (by == "step")}>'
    f"<span>{by.capitalize()}</span></label>"
    for by in get_args(By)
)
_TEMPLATE = f"""
<div class="view" data-most="{MOST_SHOWN}">
<div class="opened" hidden><button class="back">&larr; All runs</button><h2 tabindex="-1"></h2></div>
<div class="axes">
<fieldset class="by"><legend>X axis</legend>{_CHOICES}</fieldset>
<label class="smooth" title="Moving average of the values that are logged by step">Smoothing
<input type="range" min="0" max="{_MOST_SMOOTH}" step="0.02" value="0"><output>0</output></label>
<label class="log"><input type="checkbox"> Log loss</label>
</div></div>
"""


@dataclass(frozen=True, slots=True)
class View:
    """What the browser asks for, checked."""

    shown: tuple[str, ...] | None = None
    """Names of the ticked runs; None: nothing was ticked or unticked yet."""
    open: str | None = None
    """Name of the run whose page is open."""
    by: By = "step"
    smoothing: float = 0.0
    log_loss: bool = False

    @classmethod
    def of(cls, value: Any) -> "View":
        """Read what the browser sent; anything unusable counts as not said."""
        asked = value if isinstance(value, Mapping) else {}
        shown, by, smoothing, name = (asked.get(key) for key in ("shown", "by", "smoothing", "open"))
        return cls(
            shown=tuple(names_of(shown))[-MOST_SHOWN:] if isinstance(shown, list) else None,
            open=name if isinstance(name, str) else None,
            by=next((known for known in get_args(By) if known == by), "step"),
            smoothing=min(max(0.0, smoothing), _MOST_SMOOTH) if isinstance(smoothing, int | float) else 0.0,
            log_loss=asked.get("log") is True,
        )


def names_of(sent: Any) -> list[str]:
    """Return the names of runs that a browser sent, each once; anything else counts as none."""
    return list(dict.fromkeys(one for one in sent if isinstance(one, str))) if isinstance(sent, list) else []


def view_bar() -> gr.HTML:
    """Create the bar with the axes. Its value is what `View.of` reads; a change triggers an `input` event."""
    return gr.HTML(
        html_template=_TEMPLATE,
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="view",
    )
