"""Predictions and messages as HTML. Text from files and users is escaped here."""

import base64
import html
import io
from collections.abc import Mapping
from functools import cache

from PIL import Image

from resnet_cifar.data.images import centre_square
from resnet_cifar.model.classifier import Prediction
from resnet_cifar.ui.classify.examples import EXAMPLES, UNKNOWN, example_image

_THUMBNAIL = 144  # pixels per side


def empty_card(model: str | None) -> str:
    """Return the card shown while there is no image or no model."""
    if model is None:
        return _card(
            "<p class='empty'>There is no model yet.<br>Train one, or enter a name from the Hugging Face Hub.</p>"
        )
    return _card("<p class='empty'>Drop an image to classify it.</p>")


def fetching_card(model: str) -> str:
    """Return the card shown while a model is downloaded from the Hub."""
    return _card(f"<p class='empty'>Downloading {html.escape(model)} from the Hugging Face Hub …</p>")


def prediction_card(prediction: Prediction) -> str:
    """Return the card of a prediction: top class, the most probable classes, and the network's input."""
    kind = f"<p class='kind'>superclass: {_words(prediction.superclass)}</p>" if prediction.superclass else ""
    rows = "".join(
        f"<li><span>{_words(label)}</span><span class='share'>{100 * value:.1f} %</span>"
        f"<span class='bar'><i style='width:{100 * value:.1f}%'></i></span></li>"
        for label, value in prediction.probabilities.items()
    )
    side = prediction.seen.width
    return _card(
        f"<div class='top'><img alt='the input of the network' src='{_data_url(prediction.seen, 'PNG')}'>"
        f"<div><p class='what'>{_words(prediction.label)}</p>{kind}</div></div><ol>{rows}</ol>"
        f"<p class='seen'>The small image is the network's input: the central square at {side} x {side} pixels.</p>"
    )


def prediction_tile(name: str, image: str, prediction: Prediction) -> str:
    """Return a gallery tile: thumbnail, top class and file name."""
    share = f"{100 * prediction.probabilities[prediction.label]:.1f} %"
    return (
        f"<li><img alt='' src='{image}'><p class='what'><span>{_words(prediction.label)}</span>"
        f"<span class='share'>{share}</span></p><p class='file'>{html.escape(name)}</p></li>"
    )


def error_tile(name: str, error: str) -> str:
    """Return a gallery tile with an error message."""
    return f"<li><p class='why'>{html.escape(error)}</p><p class='file'>{html.escape(name)}</p></li>"


def tiles(items: str) -> str:
    """Return the gallery."""
    return f"<ul class='tiles'>{items}</ul>"


def progress_line(done: int, total: int) -> str:
    """Return a line with a progress bar."""
    bar = f"<progress max='{total}' value='{done}' aria-label='images classified'></progress>"
    return f"<p class='status' role='status'>{done} of {_images(total)} {bar}</p>"


def summary_line(total: int, bad: int, model: str) -> str:
    """Return the line above a finished gallery."""
    errors = f"; {bad} could not be read" if bad else ""
    return f"<p class='status' role='status'>{_images(total)}, classified by {html.escape(model)}{errors}</p>"


def unusable_note(faults: Mapping[str, str]) -> str:
    """Return a folded list of unusable folders with the reasons; empty if there are none."""
    if not faults:
        return ""
    rows = "".join(f"<li><b>{html.escape(name)}</b> {html.escape(fault)}</li>" for name, fault in faults.items())
    folders = "1 folder" if len(faults) == 1 else f"{len(faults)} folders"
    return f"<details class='unusable'><summary>{folders} cannot be used</summary><ul>{rows}</ul></details>"


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


def thumbnail(image: Image.Image) -> str:
    """Return the central square of an image as a small JPEG in a data URL."""
    return _data_url(centre_square(image, _THUMBNAIL), "JPEG")


def _card(content: str) -> str:
    return f"<div class='answer' role='status'>{content}</div>"


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _words(name: str) -> str:
    return html.escape(name.replace("_", " "))


def _data_url(image: Image.Image, format: str) -> str:
    out = io.BytesIO()
    image.save(out, format)
    return f"data:image/{format.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"
