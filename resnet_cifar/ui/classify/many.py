"""Several images at once: a gallery that grows while they are answered, and a table to take away."""

import csv
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from resnet_cifar.data.images import decode
from resnet_cifar.errors import UserError
from resnet_cifar.model.classifier import Classifier, Prediction
from resnet_cifar.ui.classify.cards import answer_tile, error_tile, progress_line, summary_line, thumbnail, tiles
from resnet_cifar.ui.classify.image_input import ImagesInput
from resnet_cifar.ui.classify.models import LANE, Models
from resnet_cifar.ui.classify.uploads import Upload
from resnet_cifar.ui.refusals import refuse

LIMIT = 200
_TOP = 5
_AT_ONCE, _PATIENCE = 16, 0.5  # images, or seconds, after which there is something new to see
COLUMNS = (
    "file",
    "label",
    "confidence",
    "superclass",
    *(f"{field}_{place}" for place in range(2, _TOP + 1) for field in ("label", "confidence")),
    "error",
)


@dataclass(frozen=True)
class Answer:
    """What came of one file: a prediction and a small image, or a sentence."""

    name: str
    prediction: Prediction | None = None
    image: str = ""
    error: str = ""

    def tile(self) -> str:
        """The answer in the gallery."""
        if self.prediction is None:
            return error_tile(self.name, self.error)
        return answer_tile(self.name, self.image, self.prediction)

    def row(self) -> list[str]:
        """The answer in the table, in the order of `COLUMNS`."""
        if self.prediction is None:
            return [_cell(self.name), *[""] * (len(COLUMNS) - 2), _cell(self.error)]
        (first, sure), *others = self.prediction.probabilities.items()
        rest = [text for label, value in others for text in (_cell(label), f"{value:.6f}")]
        rest += [""] * (2 * (_TOP - 1) - len(rest))
        return [_cell(self.name), _cell(first), f"{sure:.6f}", _cell(self.prediction.superclass or ""), *rest, ""]


def several_images(models: Models, model: gr.Dropdown, ready: Any) -> None:
    """A folded part of the tab: files in, gallery and table out. `ready`: the trigger of another model's coming."""
    with gr.Accordion("Several images", open=False, elem_classes="many"):
        files = ImagesInput(label=f"Images, up to {LIMIT}", file_count="multiple", file_types=["image"], height=180)
        with gr.Row(elem_classes="summary"):
            status = gr.HTML(container=False, padding=False)
            table = gr.DownloadButton("Download as CSV", size="sm", visible=False, scale=0, min_width=180)
        gallery = gr.HTML(container=False, padding=False)
    for heard in (files.change, ready):
        heard(
            partial(answer_all, models),
            [files, model],
            [status, gallery, table],
            api_visibility="private",
            show_progress="hidden",  # the line in `status` says more
            **LANE,
        )


def answer_all(models: Models, files: Sequence[Upload], model: str | None) -> Iterator[tuple[str, str, Any]]:
    """The line above the gallery, the gallery and the button, again and again while the answers come in."""
    no_table = gr.update(visible=False)
    yield "", "", no_table  # what was answered before goes, whatever comes of this
    if not files:
        return
    if len(files) > LIMIT:
        raise refuse(f"these are {len(files)} images; up to {LIMIT} are answered at once. Take some of them away.")
    yield progress_line(0, len(files)), "", no_table
    answers: list[Answer] = []
    items = ""
    try:
        for some in _in_portions(models.classifier(model), files):
            answers += some
            items += "".join(answer.tile() for answer in some)
            yield progress_line(len(answers), len(files)), tiles(items), no_table
    except UserError as error:
        raise refuse(error) from error
    bad = sum(answer.prediction is None for answer in answers)
    file = save_bytes_to_cache(as_csv(answers), "answers.csv", get_upload_folder())  # swept like an upload
    yield summary_line(len(answers), bad, str(model)), tiles(items), gr.update(value=file, visible=True)


def as_csv(answers: Sequence[Answer]) -> bytes:
    """The table, a row a file; with the mark at its start by which spreadsheets know UTF-8."""
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *(answer.row() for answer in answers)])
    return text.getvalue().encode("utf-8-sig")


def _in_portions(classifier: Classifier, files: Sequence[Upload]) -> Iterator[list[Answer]]:
    """Answers in the order of the files, as many at a time as don't take long."""
    portion: list[tuple[Upload, Image.Image | UserError]] = []
    began = time.monotonic()
    for place, file in enumerate(files, start=1):
        portion.append((file, _opened(file)))
        if len(portion) == _AT_ONCE or time.monotonic() - began > _PATIENCE or place == len(files):
            yield _answered(classifier, portion)
            portion, began = [], time.monotonic()


def _opened(file: Upload) -> Image.Image | UserError:
    try:
        return decode(file.path, file.name)
    except UserError as error:
        return error


def _answered(classifier: Classifier, portion: Sequence[tuple[Upload, Image.Image | UserError]]) -> list[Answer]:
    predictions = iter(classifier.predict([found for _, found in portion if isinstance(found, Image.Image)], _TOP))
    return [
        Answer(file.name, error=str(found))
        if isinstance(found, UserError)
        else Answer(file.name, next(predictions), thumbnail(found))
        for file, found in portion
    ]


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
