"""The first tab: drop a picture and see what it is."""

import base64
import html
import io
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from resnet_cifar.errors import UserError
from resnet_cifar.predict import Prediction
from resnet_cifar.ui.models import Models
from resnet_cifar.ui.picture_input import PictureInput
from resnet_cifar.ui.refusals import refuse

_LANE: dict[str, Any] = {"concurrency_id": "predictions", "concurrency_limit": 2}  # nothing else can stand in their way


def classify_tab(models: Models) -> None:
    """A picture on the left, the answer on the right."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            picture = PictureInput(
                label="Picture",
                type="pil",
                sources=["upload", "webcam", "clipboard"],
                height=340,
                buttons=[],
                placeholder="Drop a picture here\n- or -\nclick to choose one",
            )
            model = gr.Dropdown(models.names(), value=models.default(), label="Model", interactive=True)
        with gr.Column(scale=1, min_width=300):
            answer = gr.HTML(empty_card(models.default()), container=False, padding=False)
    answer_to = partial(show, models)
    picture.change(answer_to, [picture, model], answer, api_visibility="private", show_progress="minimal", **_LANE)
    model.change(answer_to, [picture, model], answer, api_visibility="private", show_progress="minimal", **_LANE)
    model.focus(partial(choices, models), None, model, api_visibility="private", queue=False, show_progress="hidden")
    _endpoint(models)


def _endpoint(models: Models) -> None:
    """`/classify` for programs: a picture, and a model's name or nothing."""
    picture, model = PictureInput(visible=False), gr.Textbox(visible=False, label="model")
    answer = gr.JSON(visible=False, label="answer")
    call = gr.Button(visible=False)
    call.click(partial(answer_as_json, models), [picture, model], answer, api_name="classify", **_LANE)


def choices(models: Models) -> Any:
    """The models there are now: a fresh run appears without a reload."""
    return gr.update(choices=models.names())


def show(models: Models, picture: Image.Image | None, model: str | None) -> str:
    """The answer as the page shows it."""
    return empty_card(model) if picture is None else answer_card(_predict(models, picture, model))


def answer_as_json(models: Models, picture: Image.Image | None, model: str | None = None) -> dict[str, Any]:
    """The answer as programs get it."""
    if picture is None:
        raise refuse("there is no picture; send one.")
    return _predict(models, picture, model or models.default()).as_json()


def _predict(models: Models, picture: Image.Image, model: str | None) -> Prediction:
    try:
        return models.classifier(model).predict([picture])[0]
    except UserError as error:
        raise refuse(error) from error


def empty_card(model: str | None) -> str:
    """What stands where the answer will be."""
    if model is None:
        return _card("<p class='empty'>There is no model yet.<br>Train one: <code>make train</code></p>")
    return _card("<p class='empty'>Drop a picture, and the answer appears here.</p>")


def answer_card(prediction: Prediction) -> str:
    """The likeliest class in large, the next ones below it, and what the network looked at."""
    kind = f"<p class='kind'>one of the {_words(prediction.superclass)}</p>" if prediction.superclass else ""
    rows = "".join(
        f"<li><span>{_words(label)}</span><span class='share'>{100 * value:.1f} %</span>"
        f"<span class='bar'><i style='width:{100 * value:.1f}%'></i></span></li>"
        for label, value in prediction.probabilities.items()
    )
    side = prediction.seen.width
    return _card(
        f"<div class='top'><img alt='the picture as the network saw it' src='{_data_url(prediction.seen)}'>"
        f"<div><p class='what'>{_words(prediction.label)}</p>{kind}</div></div><ol>{rows}</ol>"
        f"<p class='seen'>The small picture is all that the network saw: the middle square, {side} pixels a side.</p>"
    )


def _card(content: str) -> str:
    return f"<div class='answer' role='status'>{content}</div>"


def _words(name: str) -> str:
    return html.escape(name.replace("_", " "))


def _data_url(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
