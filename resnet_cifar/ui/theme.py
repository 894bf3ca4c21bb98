"""How the page looks: one theme of our own, light and dark, with the fonts that a machine has already."""

import gradio as gr

_SANS = ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
_MONO = ("ui-monospace", "Cascadia Mono", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Gradio's plainest theme with our colours, corners and fonts; nothing of it is loaded from elsewhere."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
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
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
    )


CSS = """
.gradio-container { width: 100%; max-width: 1080px !important; margin: 0 auto; }
.gradio-container main { width: 100%; }
.dark { --color-accent: var(--primary-400); }
#header { padding: 12px 0 4px; }
#header h1 { font-size: 1.5rem; font-weight: 650; letter-spacing: -0.01em; margin: 0; }
#header p { margin: 2px 0 0; color: var(--body-text-color-subdued); }
.html-container, .prose:has(> .answer) { padding: 0 !important; }
.answer { background: var(--block-background-fill); border-radius: var(--radius-lg);
  box-shadow: var(--block-shadow); padding: 24px; min-height: 320px; }
.answer .empty { color: var(--body-text-color-subdued); display: grid; place-content: center; text-align: center;
  min-height: 280px; margin: 0; }
.answer .top { display: flex; gap: 18px; align-items: center; margin-bottom: 20px; }
.answer .top img { width: 96px; height: 96px; border-radius: 10px; image-rendering: pixelated; }
.answer .what { font-size: 1.9rem; font-weight: 650; line-height: 1.15; margin: 0; letter-spacing: -0.02em; }
.answer .kind { margin: 4px 0 0; color: var(--body-text-color-subdued); }
.answer ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 12px; }
.answer li { display: grid; grid-template-columns: 1fr auto; gap: 4px 12px; margin: 0; }
.answer li .share { font-variant-numeric: tabular-nums; }
.answer li .bar { grid-column: 1 / -1; height: 8px; border-radius: 4px; overflow: hidden;
  background: var(--neutral-200); }
.dark .answer li .bar { background: var(--neutral-700); }
.answer li .bar i { display: block; height: 100%; border-radius: 4px; background: var(--primary-500); }
.answer .seen { margin: 20px 0 0; font-size: 0.85rem; color: var(--body-text-color-subdued); }
"""
