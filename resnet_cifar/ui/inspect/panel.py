"""The panel of the Inspect tab: the component that the views are drawn in, and what its browser side can ask for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.ui.chart import PLOTLY_JS

Answer = Callable[[Any], Any]
"""Function that the browser calls with one argument."""

VIEWS = {
    "calibration": "Calibration",
    "confusion": "Confusion",
    "classes": "Classes",
    "mistakes": "Mistakes",
    "why": "Why",
    "robustness": "Robustness",
}

_TEMPLATE = """
<div class="inspect" data-view="calibration" data-stored="false">
  <div class="subject">
    <label class="pick"><span>Model</span> <select class="run" aria-label="Model"></select></label>
    <fieldset class="split segmented"><legend class="unseen">Images</legend>{splits}</fieldset>
  </div>
  <p class="fault notice" role="alert" hidden></p>
  <div class="offer card" hidden></div>
  <dl class="numbers card" hidden></dl>
  <nav class="views segmented" aria-label="Views of the model">{views}</nav>
  <section class="calibration card" aria-label="Calibration">
    <h2>How far its confidence can be believed</h2>
    <div class="halves"><div class="plot"></div><div><p class="said"></p>
      <p class="aside">Each bar holds the images whose confidence lies there; a paler bar holds fewer. On the dashed
      line, a model is right as often as it is confident.</p></div></div>
  </section>
  <section class="confusion" aria-label="Confusion">
    <div class="card"><div class="top"><h2>What it takes for what</h2>
      <fieldset class="by segmented"><legend class="unseen">Rows and columns</legend>{by}</fieldset></div>
      <p class="aside">Mistakes only: the diagonal, where it is right, is left out. Colours are on a log scale. Click a
      cell to see the images behind it.</p>
      <div class="plot"></div></div>
    <div class="card"><h2>Confused most</h2><ol class="pairs"></ol></div>
    <div class="behind card" hidden><h3></h3><p class="missing aside"></p><ul class="tiles"></ul></div>
  </section>
  <section class="classes card" aria-label="Classes">
    <div class="top"><h2>Accuracy on each class</h2>
      <label class="pick"><span>beside</span> <select class="other" aria-label="Second model"></select></label></div>
    <p class="missing aside" role="status"></p><p class="beside aside"></p>
    <div class="key" role="group" aria-label="Superclasses"></div>
    <ol class="bars"></ol>
    <p class="aside">The training images of a class, as augmentation changes them, are shown by <i>Explore the data</i>
    of a stage, in <a href="#train">Train</a>.</p>
  </section>
  <section class="mistakes card" aria-label="Mistakes">
    <div class="top"><fieldset class="segmented"><legend class="unseen">Which images</legend>{kinds}</fieldset>
      <label class="pick filter"><span>Images of</span> <select class="of" aria-label="Images of"></select></label>
    </div>
    <p class="said aside"></p><p class="missing aside"></p><ul class="tiles"></ul>
  </section>
  <section class="robustness card" aria-label="Robustness">
    <h2>How it does on worse images</h2><p class="said aside"></p><div class="work"></div><div class="multiples"></div>
  </section>
</div>
"""


def panel(default: str | None, answers: Mapping[str, Answer]) -> gr.HTML:
    """Create the panel. Its value is the name of the model to look at until the visitor chooses one.

    answers: what the browser can ask for, by name; a UserError becomes its sentence.
    """
    folder = Path(__file__).parent
    template = _TEMPLATE.format(
        views="".join(f'<a href="#inspect/{value}">{name}</a>' for value, name in VIEWS.items()),
        splits=radios("split", {"test": "Test", "val": "Val"}),
        by=radios("by", {"class": "100 classes", "superclass": "20 superclasses"}),
        kinds=radios("kind", {"worst": "Highest loss", "suspects": "Likely label errors"}),
    )
    return gr.HTML(
        default,
        html_template=template,
        js_on_load=scripts(folder, "work", "tab", "views", "confusion"),
        head=f'<script src="/gradio_api/file={PLOTLY_JS}"></script>',
        server_functions=[*answers.values()],
        apply_default_css=False,
        elem_id="inspect",
    )


def scripts(folder: Path, *names: str) -> str:
    """Join the files of a component's JavaScript."""
    return "".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in names)


def answering(name: str, answer: Callable[[Any], Any], sentence: Callable[[UserError], str]) -> Answer:
    """Return a function that the browser can call; a UserError becomes its sentence.

    It cannot be called for more than the page shows everybody, unless `answer` checks the visitor's rights.
    """

    def checked(question: Any) -> dict[str, Any]:
        try:
            return {"answer": answer(question)}
        except UserError as error:
            return {"error": sentence(error)}
        except gr.Error as refusal:
            return {"error": refusal.message}
        except (KeyError, TypeError, ValueError):
            return {"error": "The page sent something that cannot be read; reload it."}

    checked.__name__ = name
    return checked


def radios(name: str, choices: Mapping[str, str]) -> str:
    """Return radio buttons, the first one checked."""
    first = next(iter(choices))
    return "".join(
        f'<label><input type="radio" name="inspect-{name}" value="{value}"{" checked" * (value == first)}>'
        f"<span>{text}</span></label>"
        for value, text in choices.items()
    )
