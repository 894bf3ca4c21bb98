"""Refusals: error messages shown on the page."""

import gradio as gr


def refuse(reason: object) -> gr.Error:
    """Create the error to raise: it shows `reason` on the page and logs no traceback."""
    return gr.Error(str(reason), print_exception=False, title="That did not work")
