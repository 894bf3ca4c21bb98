"""Classifies the images that the page sends, in small batches, and prepares what it shows of each."""

import base64
import binascii
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradio.data_classes import FileData
from PIL import Image

from resnet_cifar.data.images import decode
from resnet_cifar.errors import UserError
from resnet_cifar.model.checkpoint import read_config
from resnet_cifar.model.classifier import Prediction
from resnet_cifar.ui.classify.cards import (
    error_card,
    error_tile,
    no_model_card,
    prediction_card,
    prediction_tile,
    thumbnail,
    whole,
)
from resnet_cifar.ui.classify.examples import EXAMPLES, example_image
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.classify.uploads import uploaded

BATCH = 8
"""Most images in one request, so that the gallery grows about twice a second."""
_TOP = 5
_FRAME = 400_000  # bytes of a webcam image in base64; the page sends about 20 kB
_NAME = 200  # characters
COLUMNS = (
    "file",
    "label",
    "confidence",
    "superclass",
    "known",
    *(f"{field}_{place}" for place in range(2, _TOP + 1) for field in ("label", "confidence")),
    "error",
)


@dataclass(frozen=True)
class Result:
    """Result of one image: a prediction of each model that can be used, or an error message."""

    name: str
    cards: Sequence[str]
    """One per model, in their order."""
    prediction: Prediction | None = None
    """Prediction of the first model."""
    image: str = ""
    """Thumbnail, as a data URL."""
    preview: str = ""
    """The whole image, as a data URL, if the browser does not have it."""
    error: str = ""
    other: str = ""
    """The second model's class, if it differs."""

    def as_json(self) -> dict[str, Any]:
        """Return what the page shows of it. `certainty` is what the gallery is sorted by."""
        prediction = self.prediction
        return {
            "cards": list(self.cards),
            "tile": self.tile(),
            "other": self.other.replace("_", " "),
            "certainty": prediction.probabilities[prediction.label] if prediction else -1,
            "thumbnail": self.image,
            "preview": self.preview,
            "row": csv_line(self.row()),
            "failed": bool(self.error),
        }

    def tile(self) -> str:
        """Return the content of the result's gallery tile."""
        if self.prediction is None:
            return error_tile(self.name, self.error)
        return prediction_tile(self.name, self.image, self.prediction)

    def row(self) -> list[str]:
        """Return the result's table row, in the order of `COLUMNS`."""
        if self.prediction is None:
            return [_cell(self.name), *[""] * (len(COLUMNS) - 2), _cell(self.error)]
        (label, confidence), *others = self.prediction.probabilities.items()
        rest = [text for other, value in others for text in (_cell(other), f"{value:.6f}")]
        rest += [""] * (2 * (_TOP - 1) - len(rest))
        known = {None: "", True: "yes", False: "no"}[self.prediction.known]
        superclass = _cell(self.prediction.superclass or "")
        return [_cell(self.name), _cell(label), f"{confidence:.6f}", superclass, known, *rest, ""]


def csv_line(cells: Sequence[str]) -> str:
    """Format cells as one line of CSV."""
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def classify(models: Models, names: Sequence[str | None], sent: Sequence[Any]) -> list[Result]:
    """Classify images with one model, or with two. An image or a model that cannot be used costs only its own answers.

    sent: for each image a mapping with the path of an upload, a webcam frame as a data URL, or an example's name.
    """
    opened = [_opened(one) for one in sent[:BATCH]]
    images = [image for _, image, _ in opened if isinstance(image, Image.Image)]
    live = any(isinstance(one, Mapping) and "frame" in one for one in sent)
    answers = [_answers(models, name, images, live) for name in names[:2]]
    results: list[Result] = []
    place = 0
    for name, image, preview in opened:
        if isinstance(image, UserError):
            results.append(Result(name, [error_card(str(image))], error=str(image)))
            continue
        results.append(_result(name, image, preview, [answer[place] for answer in answers]))
        place += 1
    return results


_Answer = tuple[Prediction | None, str, str]  # with its card, and what is wrong


def _result(name: str, image: Image.Image, preview: str, answers: Sequence[_Answer]) -> Result:
    cards = [card for _, card, _ in answers]
    (first, _, error), *others = answers
    labels = [other.label for other, _, _ in others if other and first and other.label != first.label]
    return Result(name, cards, first, thumbnail(image), preview, error, next(iter(labels), ""))


def _answers(models: Models, name: str | None, images: Sequence[Image.Image], live: bool) -> list[_Answer]:
    if name is None:
        return [(None, no_model_card(), "there is no model yet.")] * len(images)
    try:
        predictions = models.predict(name, images, _TOP, live)
        config, accuracy = read_config(models.folder(name)), models.accuracy(name)
    except UserError as error:
        return [(None, error_card(str(error)), str(error))] * len(images)
    return [(prediction, prediction_card(prediction, name, config, accuracy), "") for prediction in predictions]


def _opened(sent: Any) -> tuple[str, Image.Image | UserError, str]:
    """Return an image's name, the image or why it cannot be used, and its preview."""
    fields: Mapping[str, Any] = sent if isinstance(sent, dict) else {}
    name = str(fields.get("name") or "the image")[:_NAME]
    try:
        if "frame" in fields:
            return name, _frame(str(fields["frame"])), ""
        if "example" in fields:
            image = example(fields["example"])
            return name, image, whole(image)
        file = uploaded(FileData(path=str(fields.get("path") or ""), orig_name=name))
        return name, decode(file.path, file.name), ""
    except UserError as error:
        return name, error, ""


def example(name: object) -> Image.Image:
    """Return an example by its name. Raises UserError if there is none."""
    if name not in EXAMPLES:
        raise UserError(f"there is no example {name!r}; choose one of {', '.join(EXAMPLES)}.")
    return example_image(str(name))


def _frame(url: str) -> Image.Image:
    """Decode a webcam image that the page sends as a data URL."""
    head, _, content = url.partition(",")
    if not head.startswith("data:image/") or len(content) > _FRAME:
        raise UserError(f"the webcam's image must be a data URL of at most {_FRAME:,} characters.")
    try:
        return decode(base64.b64decode(content, validate=True), "the webcam's image")
    except binascii.Error as error:
        raise UserError("the webcam's image is not valid base64.") from error


def _cell(text: str) -> str:
    """Quote text that a spreadsheet would take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
