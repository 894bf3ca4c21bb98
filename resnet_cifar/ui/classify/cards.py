"""Answers as HTML: cards beside an image, tiles of a gallery. Text from files and users is escaped here."""

import base64
import html
import io

from PIL import Image

from resnet_cifar.data.images import centre_square
from resnet_cifar.model.calibration import IDENTITY
from resnet_cifar.model.checkpoint import ModelConfig
from resnet_cifar.model.classifier import Prediction
from resnet_cifar.recipe.classes import PHRASES
from resnet_cifar.ui.classify.accuracy import Accuracy

_THUMBNAIL = 192  # pixels per side
_FOLDED = 0.01  # less probable classes are folded into one line
_SURE = {0.9: "Sure", 0.6: "Fairly sure", 0.3: "Unsure", 0.0: "Little more than a guess"}
"""Words for a confidence, by its lower limit."""
_DATA = {"cifar100": "CIFAR-100's", "synthetic": "synthetic"}


def no_model_card() -> str:
    """Return the card shown while there is no model."""
    return _card(
        "<p class='empty'>There is no model yet.<br>Train one, or enter a name from the Hugging Face Hub below.</p>"
    )


def prediction_card(prediction: Prediction, model: str, config: ModelConfig, accuracy: Accuracy) -> str:
    """Return the card of a prediction: top class, the most probable classes, the network's input, and the limits."""
    kind = f"<p class='kind'>{kind_of(prediction.superclass)}</p>" if prediction.superclass else ""
    sure = next(words for limit, words in _SURE.items() if prediction.probabilities[prediction.label] >= limit)
    if prediction.known is False:
        sure = f"Probably none of the {len(config.labels)} classes; closest:"
    return _card(
        f"<p class='model'>{html.escape(model)}</p>"
        f"<div class='top'><img alt='the input of the network' src='{_data_url(prediction.seen, 'PNG')}'>"
        f"<div><p class='sure'>{sure}</p><p class='what'>{words_of(prediction.label)}</p>{kind}</div></div>"
        f"{_rows(prediction, len(config.labels))}"
        f"<div class='fine'><p class='by'>Answered by {html.escape(model)}. {_limits(prediction, config, accuracy)}</p>"
        f"<p class='seen'>{_seen(prediction.seen.width, config.side)}</p></div>"
    )


def error_card(error: str) -> str:
    """Return the card of an image that could not be classified."""
    return _card(f"<p class='failed'>That did not work</p><p class='why'>{html.escape(error)}</p>")


def prediction_tile(name: str, image: str, prediction: Prediction) -> str:
    """Return the content of a gallery tile: thumbnail, top class and file name."""
    return (
        f"<img alt='' src='{image}'><span class='what'><span>{_title(prediction)}</span>"
        f"<span class='share'>{_percent(prediction.probabilities[prediction.label])}</span></span>"
        f"<span class='file'>{html.escape(name)}</span>"
    )


def _title(prediction: Prediction) -> str:
    """Return a tile's class, or that it is probably none of them."""
    label = words_of(prediction.label)
    return f"none of these? {label}" if prediction.known is False else label


def error_tile(name: str, error: str) -> str:
    """Return the content of a gallery tile with an error message."""
    return f"<span class='why'>{html.escape(error)}</span><span class='file'>{html.escape(name)}</span>"


def kind_of(superclass: str) -> str:
    """Return a superclass in everyday words; its name if there are none."""
    return PHRASES.get(superclass) or words_of(superclass)


def words_of(name: str) -> str:
    """Return the name of a class as words, escaped."""
    return html.escape(name.replace("_", " "))


def thumbnail(image: Image.Image) -> str:
    """Return the central square of an image as a small JPEG in a data URL."""
    return _data_url(centre_square(image, _THUMBNAIL), "JPEG")


def whole(image: Image.Image) -> str:
    """Return an image as a JPEG in a data URL."""
    return _data_url(image, "JPEG")


def _rows(prediction: Prediction, classes: int) -> str:
    """Return the shown classes; those under 1 % are folded into one line with all others."""
    rows = [_row(label, value) for label, value in prediction.probabilities.items()]
    shown = max(1, sum(value >= _FOLDED for value in prediction.probabilities.values()))
    rest = max(0.0, 1 - sum(list(prediction.probabilities.values())[:shown]))
    others = "1 other class" if classes - shown == 1 else f"{classes - shown} other classes, together"
    line = f"{others} {_percent(rest)}"
    if shown < len(rows):
        line = f"<details class='rest'><summary>{line}</summary><ol>{''.join(rows[shown:])}</ol></details>"
    else:
        line = f"<p class='rest'>{line}</p>" if classes > shown else ""
    return f"<ol>{''.join(rows[:shown])}</ol>{line}"


def _row(label: str, value: float) -> str:
    return (
        f"<li><span>{words_of(label)}</span><span class='share'>{_percent(value)}</span>"
        f"<span class='bar'><i style='width:{100 * value:.1f}%'></i></span></li>"
    )


def _limits(prediction: Prediction, config: ModelConfig, accuracy: Accuracy) -> str:
    """Say how far the answer can be believed, with the model's own results."""
    if accuracy.top1 is None:
        measured = "Its accuracy is not known."
    else:
        data = _DATA.get(accuracy.data, "its")
        measured = f"Right on {100 * accuracy.top1:.0f} % of {data} {accuracy.split} images"
        of_class = accuracy.of_class.get(prediction.label)
        if of_class is not None:
            measured += f", and on {100 * of_class:.0f} % of those with the label {words_of(prediction.label)}"
        measured += ": barely trained, so do not rely on it." if accuracy.barely_trained else "."
    calibrated = config.calibration != IDENTITY
    return (
        f"{measured} It knows only {len(config.labels)} classes and always names one of them, even for something else."
        f"{_noticed(prediction)} The percentages are its own confidence, "
        f"{'calibrated on images of these classes only' if calibrated else 'not a measurement'}."
    )


def _noticed(prediction: Prediction) -> str:
    """Say how often something else is noticed, if the model has a score for that."""
    if prediction.known is None:
        return ""
    return " It often does not notice that, and takes one in twenty images of its classes for something else."


def _seen(size: int, side: int) -> str:
    """Say what the network's input is: images are reduced to those of its data set before they get its own size."""
    resized = "" if size == side else f" and enlarged to {size} x {size}"
    return (
        f"The small image is all that the network sees: the central square, reduced to {side} x {side} pixels{resized}."
    )


def _card(content: str) -> str:
    return f"<div class='answer'>{content}</div>"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _data_url(image: Image.Image, format: str) -> str:
    out = io.BytesIO()
    image.save(out, format)
    return f"data:image/{format.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"
