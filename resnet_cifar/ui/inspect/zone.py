"""The zone of the Inspect tab that takes an image and shows why the model answers as it does."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.ui.classify.uploads import MAX_MEGABYTES
from resnet_cifar.ui.classify.zone import example_buttons
from resnet_cifar.ui.inspect.inspected import Inspected
from resnet_cifar.ui.inspect.panel import Answer, answering, radios, scripts
from resnet_cifar.ui.inspect.why import LAYERS, look
from resnet_cifar.ui.options import INSPECTIONS, QUIET

_TEMPLATE = """
<div class="why" data-mode="empty" data-megabytes="{megabytes}">
  <input type="file" accept="image/*" hidden aria-label="Image to explain">
  <div class="pair">
    <div class="drop card">
      <div class="invite"><svg viewBox="0 0 48 48" aria-hidden="true"><circle cx="21" cy="21" r="13"/>
        <path d="M31 31l11 11"/></svg>
        <p class="big">Drop an image here</p><p>to see what in it speaks for each answer</p></div>
      <div class="square" hidden><img class="image" alt="the central square of the image">
        <img class="heat" alt=""></div>
      <div class="tools"><button type="button" class="choose">Choose an image</button>
        <button type="button" class="bare" aria-pressed="false" hidden>Image alone</button></div>
    </div>
    <div class="side card" hidden>
      <h2>What speaks for …</h2><ol class="answers"></ol>
      <fieldset class="segmented layers"><legend>at the output of</legend>{layers}</fieldset>
      <p class="aside">Bright parts raise the score of the picked class (Grad-CAM). Late layers see things and are
      coarse; early ones see edges and colours, and are fine. It shows where the network looks, not whether it is
      right.</p>
    </div>
  </div>
  <p class="fault notice" role="alert" hidden></p>
  {examples}
  <div class="near card" hidden><h2>Nearest training images</h2><div class="work"></div>
    <p class="searched aside"></p><p class="missing aside"></p><ul class="tiles"></ul></div>
</div>
"""


def why_zone(inspected: Inspected, answers: Mapping[str, Answer]) -> gr.HTML:
    """Create the zone. `answers`: what its browser side can ask for about the index, by name."""
    zone = gr.HTML(
        html_template=_TEMPLATE.format(
            megabytes=MAX_MEGABYTES, layers=radios("layer", LAYERS), examples=example_buttons()
        ),
        js_on_load=scripts(Path(__file__).parent, "work", "why"),
        server_functions=[*answers.values()],
        apply_default_css=False,
        elem_id="why",
    )
    seen = answering("look", lambda question: look(inspected, question), str)

    def looked(event: gr.EventData) -> dict[str, Any]:
        return {"id": event.id, **seen(event.question)}

    zone.look(looked, None, zone, trigger_mode="multiple", **INSPECTIONS).failure(
        lambda: {
            "id": None,
            "error": "The page is busy or has lost its connection; try again.",
            "at": time.time(),  # the browser does not see an answer that equals the last one
        },
        None,
        zone,
        **QUIET,
    )
    return zone
