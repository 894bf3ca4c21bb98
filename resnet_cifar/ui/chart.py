"""A plotly chart that is updated in place: zoom and hidden lines are kept, unlike in gr.Plot."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import gradio as gr
import plotly

PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""Served by the page itself, so that no request leaves it."""

_TEMPLATE = """
<div class="chart-card card">
  <p class="none" hidden>{empty}</p>
  <div class="chart">
    <div class="over"><div class="legend"></div>
      <div class="tools"><button class="reset">Reset zoom</button><button class="png">PNG</button>{csv}</div></div>
    <div class="plot"></div>
    <div class="reading" hidden></div>
  </div>
</div>
"""
_CSV = '<button class="csv">CSV</button>'


def chart(elem_id: str, empty: str, numbers: Callable[[list[str]], str] | None = None) -> gr.HTML:
    """Create a chart. Its value is a figure of `report/figures.py` as JSON, or None to show the text `empty`.

    `numbers`: returns the values of the runs with the given names as CSV, for a download.
    """
    return gr.HTML(
        html_template=_TEMPLATE.format(empty=escape(empty), csv=_CSV if numbers else ""),
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        head=f'<script src="/gradio_api/file={PLOTLY_JS}"></script>',
        server_functions=[numbers] if numbers else None,
        apply_default_css=False,
        elem_id=elem_id,
    )
