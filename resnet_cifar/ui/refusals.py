"""A sentence in the page in place of an answer."""

import gradio as gr


def refuse(reason: object) -> gr.Error:
    """The error to raise: it shows its sentence, and leaves no traceback in the log."""
    return gr.Error(str(reason), print_exception=False, title="That did not work")
