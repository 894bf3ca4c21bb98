"""The Classify tab: drop an image and see its class; and the API endpoint `/classify`."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from resnet_cifar.errors import UserError
from resnet_cifar.model.classifier import Prediction
from resnet_cifar.ui.classify.cards import empty_card, example_buttons, fetching_card, prediction_card, unusable_note
from resnet_cifar.ui.classify.examples import EXAMPLES, example_image
from resnet_cifar.ui.classify.image_input import ImageInput
from resnet_cifar.ui.classify.many import several_images
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.options import DOWNLOADS, PREDICTIONS, QUIET
from resnet_cifar.ui.refusals import refuse

_PRESSED = """element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) { props.value = button.value; trigger("click"); }
});"""


def classify_tab(models: Models) -> tuple[gr.Dropdown, Any]:
    """Build the tab: image on the left, prediction on the right, several images below.

    Returns the model's dropdown, and the event that follows when another model is ready.
    """
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            image = ImageInput(
                label="Image",
                type="pil",
                format="png",
                sources=["upload", "webcam", "clipboard"],
                height=340,
                buttons=[],
                placeholder="Drop an image here\n- or -\nclick to choose one",
            )
            _examples(image)
            model = _choice(models)
        with gr.Column(scale=1, min_width=300):
            answer = gr.HTML(empty_card(models.default()), container=False, padding=False)
    ready = model.change(partial(fetch, models), model, answer, **DOWNLOADS).success
    several_images(models, model, ready)
    answering: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", **PREDICTIONS}
    for event in (image.change, ready):
        event(partial(show, models), [image, model], answer, **answering)
    _endpoint(models)
    return model, ready


def _examples(image: ImageInput) -> None:
    """Add a row of example photographs; pressing one makes it the image."""
    buttons = gr.HTML(html_template=example_buttons(), js_on_load=_PRESSED, container=False, padding=False)
    buttons.click(example, buttons, image, **QUIET)


def _choice(models: Models) -> gr.Dropdown:
    """Add the model's dropdown and a note on unusable folders; both are updated on load and on focus."""
    model = gr.Dropdown(
        models.names(),
        value=models.default(),
        label="Model",
        info="a run, or USER/NAME on the Hugging Face Hub",
        interactive=True,
        allow_custom_value=True,
    )
    note = gr.HTML(visible=False, container=False, padding=False)
    model.focus(partial(choices, models), None, [model, note], **QUIET)
    gr.on(None, partial(choices, models), None, [model, note], **QUIET)  # when the page loads
    return model


def _endpoint(models: Models) -> None:
    """Add `/classify`: takes an image and, optionally, a model's name."""
    image, model = ImageInput(visible=False), gr.Textbox(visible=False, label="model")
    answer = gr.JSON(visible=False, label="answer")
    call = gr.Button(visible=False)
    call.click(partial(classify_as_json, models), [image, model], answer, api_name="classify", **PREDICTIONS)


def example(name: str | None) -> Image.Image:
    """Return an example by its name. Raises a refusal if there is none."""
    if name not in EXAMPLES:
        raise refuse(f"there is no example {name!r}; choose one of {', '.join(EXAMPLES)}.")
    return example_image(name)


def choices(models: Models) -> tuple[Any, Any]:
    """Return the current models, and the note on unusable folders."""
    note = unusable_note(models.unusable())
    return gr.update(choices=models.names()), gr.update(value=note, visible=bool(note))


def fetch(models: Models, model: str | None) -> Iterator[Any]:
    """Download a model from the Hub if its name is a repo, and show that meanwhile."""
    yield gr.skip()
    try:
        for _ in models.fetch(model):
            yield fetching_card(str(model))
    except UserError as error:
        yield empty_card(models.default())
        raise refuse(error) from error


def show(models: Models, image: Image.Image | None, model: str | None) -> str:
    """Classify an image; the prediction as HTML."""
    return empty_card(model) if image is None else prediction_card(_predict(models, image, model))


def classify_as_json(models: Models, image: Image.Image | None, model: str | None = None) -> dict[str, Any]:
    """Classify an image; the prediction as JSON."""
    if image is None:
        raise refuse("no image was sent; send one.")
    return _predict(models, image, model or models.default()).as_json()


def _predict(models: Models, image: Image.Image, model: str | None) -> Prediction:
    try:
        return models.classifier(model).predict([image])[0]
    except UserError as error:
        raise refuse(error) from error
