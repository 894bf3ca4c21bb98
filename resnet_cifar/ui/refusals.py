"""Refusals: error messages shown on the page, as plain text."""

import html

import gradio as gr


class Refusal(gr.Error):
    """An error that is shown to the visitor and logs no traceback. Gradio would show its message as markup."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        """The text as it is, for whoever shows it in another way."""
        super().__init__(html.escape(reason, quote=False), print_exception=False, title="That did not work")


def refuse(reason: object) -> Refusal:
    """Create the error to raise: it shows `reason` on the page and logs no traceback."""
    return Refusal(str(reason))
