"""Answers as HTML; whatever comes from files or people is escaped here."""

import base64
import html
import io
from collections.abc import Mapping
from functools import cache

from PIL import Image

from resnet_cifar.data.images import centre_square
from resnet_cifar.model.classifier import Prediction
from resnet_cifar.ui.classify.examples import EXAMPLES, drawn

_THUMBNAIL = 144  # pixels a side


def empty_card(model: str | None) -> str:
    """What stands where the answer will be."""
    if model is None:
        return _card("<p class='empty'>There is no model yet.<br>Train one: <code>make train</code></p>")
    return _card("<p class='empty'>Drop an image, and the answer appears here.</p>")


def fetching_card(model: str) -> str:
    """What stands there while a model comes from the Hub."""
    return _card(f"<p class='empty'>Fetching {html.escape(model)} from the Hugging Face Hub …</p>")


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
        f"<div class='top'><img alt='the image as the network saw it' src='{_data_url(prediction.seen, 'PNG')}'>"
        f"<div><p class='what'>{_words(prediction.label)}</p>{kind}</div></div><ol>{rows}</ol>"
        f"<p class='seen'>The small image is all that the network saw: the middle square, {side} pixels a side.</p>"
    )


def answer_tile(name: str, image: str, prediction: Prediction) -> str:
    """One of several answers, under its `thumbnail`."""
    share = f"{100 * prediction.probabilities[prediction.label]:.1f} %"
    return (
        f"<li><img alt='' src='{image}'><p class='what'><span>{_words(prediction.label)}</span>"
        f"<span class='share'>{share}</span></p><p class='file'>{html.escape(name)}</p></li>"
    )


def error_tile(name: str, error: str) -> str:
    """The sentence in place of an answer."""
    return f"<li><p class='why'>{html.escape(error)}</p><p class='file'>{html.escape(name)}</p></li>"


def tiles(items: str) -> str:
    """The gallery of such tiles."""
    return f"<ul class='tiles'>{items}</ul>"


def progress_line(done: int, total: int) -> str:
    """How far the work is."""
    bar = f"<progress max='{total}' value='{done}' aria-label='images answered'></progress>"
    return f"<p class='status' role='status'>{done} of {_images(total)} {bar}</p>"


def summary_line(total: int, bad: int, model: str) -> str:
    """What has been done."""
    other = f"; {bad} can't be read" if bad else ""
    return f"<p class='status' role='status'>{_images(total)}, answered by {html.escape(model)}{other}</p>"


def unusable_note(faults: Mapping[str, str]) -> str:
    """Which folders can't be used and why, folded; nothing if all can."""
    if not faults:
        return ""
    rows = "".join(f"<li><b>{html.escape(name)}</b> {html.escape(fault)}</li>" for name, fault in faults.items())
    folders = "1 folder" if len(faults) == 1 else f"{len(faults)} folders"
    return f"<details class='unusable'><summary>{folders} can't be used</summary><ul>{rows}</ul></details>"


@cache
def example_buttons() -> str:
    """A small image for each example, to press."""
    buttons = "".join(
        f"<button type='button' value='{name}' title='{name}' aria-label='example: {name}'>"
        f"<img alt='' src='{thumbnail(drawn(name))}'></button>"
        for name in EXAMPLES
    )
    return f"<div class='examples' role='group' aria-label='Examples'><span>or try</span>{buttons}</div>"


def thumbnail(image: Image.Image) -> str:
    """The middle square, small, as an address that holds all of it."""
    return _data_url(centre_square(image, _THUMBNAIL), "JPEG")


def _card(content: str) -> str:
    return f"<div class='answer' role='status'>{content}</div>"


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _words(name: str) -> str:
    return html.escape(name.replace("_", " "))


def _data_url(image: Image.Image, kind: str) -> str:
    out = io.BytesIO()
    image.save(out, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"
