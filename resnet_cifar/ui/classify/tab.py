"""The Classify tab: what is in a photo, and how far the answer can be believed; and the API endpoint `/classify`."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from resnet_cifar.errors import UserError
from resnet_cifar.ui.classify.image_input import ImageInput
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.classify.notes import fault_note, fetching_note, introduction, more_models
from resnet_cifar.ui.classify.zone import image_zone
from resnet_cifar.ui.options import DOWNLOADS, PREDICTIONS, QUIET
from resnet_cifar.ui.refusals import Refusal, refuse

_COMPARE, _STOP = "Compare with a second model", "Stop comparing"
_DESCRIPTION = (
    "Classify an image. image: an uploaded file in any common format; only its central square is used. model: a run's "
    "name, as listed by /runs, or USER/NAME of one that the page has loaded from the Hub; without it, the page's most "
    "accurate model. Returns label, the most likely class (of "
    "CIFAR-100, or the model's own); superclass, one of CIFAR-100's 20, or null; known, false if the image probably "
    "shows none of the classes, null if the model cannot tell; and confidences, the five most likely classes with "
    "their probabilities from 0 to 1, the most likely first."
)
_CHOSEN = """element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) trigger("choose", { name: button.value });
});"""


def classify_tab(models: Models) -> tuple[gr.Dropdown, gr.State]:
    """Build the tab: introduction, images with their answers, and below them the model.

    Returns the dropdown by which a model is chosen, and the name of the one that answers.
    """
    default = models.default()
    answering, second = gr.State(default), gr.State(None)
    about = gr.HTML(introduction(models.labels(default)), elem_classes="about", container=False, padding=False)
    zone = image_zone(models, default)
    with gr.Row(elem_classes="models"):
        with gr.Column(min_width=280):
            box = _box(models, answering)
        with gr.Column(min_width=280):
            _second_box(models, answering, second)
    answering.change(partial(about_model, models), answering, about, **QUIET)
    gr.on(
        [answering.change, second.change],
        lambda first, other: gr.update(models=[first, other]),
        [answering, second],
        zone,
        **QUIET,
    )
    gr.on(None, models.default, None, box, **QUIET)  # when the page loads: there may be a better model by now
    _endpoint(models)
    return box, answering


def _box(models: Models, answering: gr.State) -> gr.Dropdown:
    """Add the model's dropdown and its notes. Its choices are updated on load and on focus."""
    box = gr.Dropdown(
        choices(models),
        value=models.default(),
        label="Model",
        info="the most accurate one first; or USER/NAME on the Hugging Face Hub",
        interactive=True,
        allow_custom_value=True,
    )
    note = gr.HTML(visible=False, container=False, padding=False)
    more = gr.HTML(others(models), js_on_load=_CHOSEN, container=False, padding=False)
    box.change(partial(choose, models), [box, answering], [answering, box, note], **DOWNLOADS)
    more.choose(_name_of, None, box, **QUIET)
    for event in (box.focus, partial(gr.on, None)):
        event(lambda: (gr.update(choices=choices(models)), others(models)), None, [box, more], **QUIET)
    return box


def _second_box(models: Models, answering: gr.State, second: gr.State) -> None:
    """Add the button that compares two models, and the second model's dropdown, which it shows."""
    box = gr.Dropdown(
        label="Second model",
        info="classifies the same images",
        visible=False,
        interactive=True,
        allow_custom_value=True,
    )
    note = gr.HTML(visible=False, container=False, padding=False)
    button = gr.Button(_COMPARE, size="sm", elem_classes="compare")
    box.change(partial(choose, models, may_be_none=True), [box, second], [second, box, note], **DOWNLOADS)
    button.click(partial(compare, models), [button, answering], [button, second, box, note], **DOWNLOADS)


def _endpoint(models: Models) -> None:
    """Add `/classify`: takes an image and, optionally, a model's name."""
    image = ImageInput(visible=False, label="image of one thing")
    model = gr.Textbox(visible=False, label="model, or nothing for the best one")
    answer = gr.JSON(visible=False, label="answer")
    call = gr.Button(visible=False)
    call.click(
        partial(classify_as_json, models),
        [image, model],
        answer,
        api_name="classify",
        api_description=_DESCRIPTION,
        **PREDICTIONS,
    )


def choices(models: Models) -> list[tuple[str, str]]:
    """Return the dropdown's choices: models with their accuracy, which a long name would push out of the box."""
    return [(f"{models.accuracy(name).text()}: {name}", name) for name in models.ranked()[0]]


def others(models: Models) -> str:
    """Return the folded lists below the dropdown."""
    return more_models({name: models.accuracy(name).text() for name in models.ranked()[1]}, models.unusable())


def about_model(models: Models, model: str | None) -> str:
    """Return the introduction, with the classes of a model."""
    return introduction(models.labels(model))


def choose(
    models: Models, name: str | None, current: str | None, may_be_none: bool = False
) -> Iterator[tuple[Any, Any, Any]]:
    """Let a model answer: download it if it is on the Hub, and load it. If that fails, the current one stays.

    Yields the model that answers, the dropdown's value, and the note below it.
    """
    name = str(name or "").strip() or None
    if name == current or (name is None and not may_be_none):
        yield gr.skip(), gr.skip(), gr.skip()  # a value could arrive after *Stop comparing* has emptied the box
        return
    try:
        for _ in models.fetch(name):
            yield gr.skip(), gr.skip(), gr.update(value=fetching_note(str(name)), visible=True)
        if name is not None:
            models.classifier(name)
    except (UserError, Refusal) as error:
        reason = error.reason if isinstance(error, Refusal) else str(error)
        yield gr.skip(), current, gr.update(value=fault_note(reason, current), visible=True)
        return
    yield name, gr.skip(), gr.update(visible=False)


def compare(models: Models, text: str, answering: str | None) -> tuple[Any, Any, Any, Any]:
    """Start or stop comparing: the button, the second model, which is the next best one, its dropdown and its note.

    The model is not left to the dropdown's `change` event, which a dropdown that has just appeared may not send.
    """
    if text == _STOP:
        return _COMPARE, None, gr.update(visible=False, value=None), gr.update(visible=False)
    offered = choices(models)
    other = next((name for _, name in offered if name != answering), None)
    *_, (chosen, _, note) = choose(models, other, None)
    second = None if chosen == gr.skip() else chosen  # it cannot be used, as the note says, or there is only one
    return _STOP, second, gr.update(visible=True, choices=offered, value=second), note


def classify_as_json(models: Models, image: Image.Image | None, model: str | None = None) -> dict[str, Any]:
    """Classify an image; the prediction as JSON."""
    if image is None:
        raise refuse("no image was sent; send one.")
    try:
        return models.predict(model or models.default(), [image])[0].as_json()
    except UserError as error:
        raise refuse(error) from error


def _name_of(event: gr.EventData) -> str:
    return str(event.name)
