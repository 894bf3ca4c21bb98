"""Theme and style sheets: light and dark, with system fonts only."""

from pathlib import Path

import gradio as gr

_SANS = ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
_SIZES = ("xxs", "xs", "sm", "md", "lg", "xl", "xxl")
_RADIUS = gr.themes.sizes.Size(**dict.fromkeys(_SIZES, "10px"))  # one radius for all corners
_MONO = ("ui-monospace", "Cascadia Mono", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Return Gradio's base theme with our colours, corners and fonts. It loads nothing from other hosts."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=_RADIUS,
        font=[gr.themes.Font(name) for name in _SANS],
        font_mono=[gr.themes.Font(name) for name in _MONO],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_border_width="0px",
        block_shadow="0 1px 2px rgb(15 23 42 / 0.06), 0 4px 16px rgb(15 23 42 / 0.05)",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        color_accent="*primary_700",
        # Borders of controls have a contrast of 3 : 1 or more with the card behind them (WCAG 1.4.11).
        input_border_width="1px",
        input_border_color="*neutral_500",
        input_border_color_dark="*neutral_500",
        input_border_color_focus="*neutral_500",
        input_border_color_focus_dark="*neutral_400",
        input_shadow_focus="none",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_900",
        checkbox_border_width="1px",
        checkbox_border_radius="4px",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        checkbox_label_background_fill="*neutral_100",
        checkbox_label_background_fill_dark="*neutral_700",
        button_secondary_background_fill="*background_fill_primary",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_500",
        button_secondary_border_color_dark="*neutral_400",
        button_secondary_text_color="*neutral_800",
        button_secondary_text_color_dark="*neutral_100",
        button_border_width="1px",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
    )


CSS = "".join(file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.rglob("*.css")))
"""All style sheets of the page and its tabs."""
