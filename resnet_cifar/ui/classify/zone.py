"""The zone that takes images and shows the answers: drop, paste, file dialog, examples, webcam; one image or many."""

import json
import time
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.ui.classify.answers import BATCH, COLUMNS, classify, csv_line
from resnet_cifar.ui.classify.cards import error_card, no_model_card, thumbnail
from resnet_cifar.ui.classify.examples import EXAMPLES, UNKNOWN, example_image
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.classify.uploads import MAX_MEGABYTES
from resnet_cifar.ui.options import PREDICTIONS, QUIET

LIMIT = 200
"""Most images at once."""

_TEMPLATE = """
<div class="zone" data-mode="empty" data-settings="{settings}">
  <input class="files" type="file" accept="image/*" multiple hidden aria-label="Images">
  <div class="pair">
    <div class="drop">
      <div class="invite"><svg viewBox="0 0 48 48" aria-hidden="true"><rect x="5" y="9" width="38" height="30" rx="5"/>
        <circle cx="17" cy="19" r="4"/><path d="M6 35l12-11 8 7 8-8 8 7"/></svg>
        <p class="big">Drop photos here</p><p>one, or up to {limit} at once; or paste one with Ctrl+V</p></div>
      <img class="preview" alt="the image" hidden>
      <video class="preview" aria-label="live image of the webcam" muted playsinline hidden></video>
      <div class="tools"><button class="plain main choose">Choose images</button>
        <button class="plain open-camera">Use the webcam</button>
        <button class="plain keep" hidden>Keep this image</button>
        <button class="plain close-camera" hidden>Close the webcam</button>
        <button class="plain remove" hidden>Remove</button></div>
    </div>
    <div class="answers" role="status" aria-busy="false">{answer}</div>
  </div>
  <div class="several" hidden>
    <div class="summary"><p class="status" role="status"></p><progress max="1" value="0" aria-label="images classified"
      hidden></progress><button class="plain csv" hidden>Download as CSV</button></div>
    <ul class="tiles"></ul>
  </div>
  {examples}
  <dialog class="detail" aria-label="answer for one image"><div class="bar">
    <p class="file"></p><button class="plain previous">Previous</button><button class="plain next">Next</button>
    <button class="plain close">Close</button></div>
    <div class="pair"><img class="preview" alt="the image"><div class="answers"></div></div></dialog>
</div>
"""


def image_zone(models: Models, model: str | None) -> gr.HTML:
    """Create the zone. `model` answers at first; later the names of one or two models go to the prop `models`."""
    settings = {
        "limit": LIMIT,
        "batch": BATCH,
        "megabytes": MAX_MEGABYTES,
        "head": csv_line(COLUMNS),
        "models": [model],
        "failed": error_card("REASON"),
    }
    folder = Path(__file__).parent
    zone = gr.HTML(
        html_template=_TEMPLATE.format(
            settings=_attribute(settings),
            limit=LIMIT,
            answer="" if model else no_model_card(),
            examples=example_buttons(),
        ),
        js_on_load="".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in ("zone", "many", "camera")),
        apply_default_css=False,
        elem_id="zone",
        models=[model],
    )

    def asked(event: gr.EventData) -> dict[str, Any]:
        results = classify(models, event.models, event.images)
        return {"id": event.id, "results": [result.as_json() for result in results]}

    zone.classify(
        asked,
        None,
        zone,
        trigger_mode="multiple",  # the page sends one request after another
        show_progress="hidden",
        api_visibility="private",
        **PREDICTIONS,
    ).failure(_failed, None, zone, **QUIET)
    return zone


def _failed() -> dict[str, Any]:
    """A failed request; the browser does not see one that equals the last one."""
    return {"id": None, "results": [], "at": time.time()}


@cache
def example_buttons() -> str:
    """Return a row of buttons with the example photographs."""
    buttons = "".join(
        f"<button type='button' value='{name}' title='{title}' aria-label='example: {title}'>"
        f"<img alt='' src='{thumbnail(example_image(name))}'></button>"
        for name, title in (
            (name, f"{name}, none of the 100 classes" if name == UNKNOWN else name) for name in EXAMPLES
        )
    )
    return (
        f"<div class='examples' role='group' aria-label='Examples'><span>or try</span>{buttons}</div>"
        f"<p class='examples-note'>The {UNKNOWN} is none of the 100 classes.</p>"
    )


def _attribute(settings: dict[str, Any]) -> str:
    """Write settings for an attribute of the template, which is also a JavaScript template string."""
    text = escape(json.dumps(settings))
    for character in "\\`${}":
        text = text.replace(character, f"&#{ord(character)};")
    return text
