"""The first tab: drop an image and see what it is."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from resnet_cifar.errors import UserError
from resnet_cifar.model.classifier import Prediction
from resnet_cifar.ui.classify.cards import answer_card, empty_card, example_buttons, fetching_card, unusable_note
from resnet_cifar.ui.classify.examples import EXAMPLES, drawn
from resnet_cifar.ui.classify.image_input import ImageInput
from resnet_cifar.ui.classify.many import several_images
from resnet_cifar.ui.classify.models import LANE, Models
from resnet_cifar.ui.refusals import refuse

_QUICK: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
_PRESSED = """element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) { props.value = button.value; trigger("click"); }
});"""


def classify_tab(models: Models) -> tuple[gr.Dropdown, Any]:
    """An image on the left, the answer on the right, several images below.

    Returns what the model is chosen with, and the trigger of what is to happen once another one is ready.
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
    ready = model.change(
        partial(fetch, models), model, answer, api_visibility="private", show_progress="hidden", concurrency_id="fetch"
    ).success
    several_images(models, model, ready)
    answering: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", **LANE}
    for heard in (image.change, ready):
        heard(partial(show, models), [image, model], answer, **answering)
    _endpoint(models)
    return model, ready


def _examples(image: ImageInput) -> None:
    """A row of drawings; the one that is pressed becomes the image."""
    buttons = gr.HTML(html_template=example_buttons(), js_on_load=_PRESSED, container=False, padding=False)
    buttons.click(example, buttons, image, **_QUICK)


def _choice(models: Models) -> gr.Dropdown:
    """The models, and what can't be used and why; both are looked up anew when somebody looks."""
    model = gr.Dropdown(
        models.names(),
        value=models.default(),
        label="Model",
        info="a run, or USER/NAME on the Hugging Face Hub",
        interactive=True,
        allow_custom_value=True,
    )
    note = gr.HTML(visible=False, container=False, padding=False)
    model.focus(partial(choices, models), None, [model, note], **_QUICK)
    gr.on(None, partial(choices, models), None, [model, note], **_QUICK)  # whenever the page is opened
    return model


def _endpoint(models: Models) -> None:
    """`/classify` for programs: an image, and a model's name or nothing."""
    image, model = ImageInput(visible=False), gr.Textbox(visible=False, label="model")
    answer = gr.JSON(visible=False, label="answer")
    call = gr.Button(visible=False)
    call.click(partial(answer_as_json, models), [image, model], answer, api_name="classify", **LANE)


def example(name: str | None) -> Image.Image:
    """The drawing of that name."""
    if name not in EXAMPLES:
        raise refuse(f"there is no example {name!r}; choose one of {', '.join(EXAMPLES)}.")
    return drawn(name)


def choices(models: Models) -> tuple[Any, Any]:
    """The models there are now, and a note on the others: a fresh run appears without a reload."""
    note = unusable_note(models.unusable())
    return gr.update(choices=models.names()), gr.update(value=note, visible=bool(note))


def fetch(models: Models, model: str | None) -> Iterator[Any]:
    """Get a model from the Hub if it is one, and say so meanwhile."""
    yield gr.skip()
    try:
        for _ in models.fetch(model):
            yield fetching_card(str(model))
    except UserError as error:
        yield empty_card(models.default())
        raise refuse(error) from error


def show(models: Models, image: Image.Image | None, model: str | None) -> str:
    """The answer as the page shows it."""
    return empty_card(model) if image is None else answer_card(_predict(models, image, model))


def answer_as_json(models: Models, image: Image.Image | None, model: str | None = None) -> dict[str, Any]:
    """The answer as programs get it."""
    if image is None:
        raise refuse("there is no image; send one.")
    return _predict(models, image, model or models.default()).as_json()


def _predict(models: Models, image: Image.Image, model: str | None) -> Prediction:
    try:
        return models.classifier(model).predict([image])[0]
    except UserError as error:
        raise refuse(error) from error
