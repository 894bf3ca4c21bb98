"""Several images at once: a gallery that grows as they are classified, and the results as CSV."""

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
from resnet_cifar.ui.classify.cards import error_tile, prediction_tile, progress_line, summary_line, thumbnail, tiles
from resnet_cifar.ui.classify.image_input import ImagesInput
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.classify.uploads import Upload
from resnet_cifar.ui.options import PREDICTIONS
from resnet_cifar.ui.refusals import refuse

LIMIT = 200
_TOP = 5
_BATCH, _BATCH_SECONDS = 16, 0.5  # the gallery grows after so many images or seconds
COLUMNS = (
    "file",
    "label",
    "confidence",
    "superclass",
    *(f"{field}_{place}" for place in range(2, _TOP + 1) for field in ("label", "confidence")),
    "error",
)


@dataclass(frozen=True)
class Result:
    """Result of one file: a prediction and a thumbnail, or an error message."""

    name: str
    prediction: Prediction | None = None
    image: str = ""
    error: str = ""

    def tile(self) -> str:
        """Return the result's gallery tile."""
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
        return [_cell(self.name), _cell(label), f"{confidence:.6f}", _cell(self.prediction.superclass or ""), *rest, ""]


def several_images(models: Models, model: gr.Dropdown, ready: Any) -> None:
    """Add the section: files in, gallery and table out. `ready`: the event that follows when a model is ready."""
    with gr.Accordion("Several images", open=False, elem_classes="many"):
        files = ImagesInput(label=f"Images, up to {LIMIT}", file_count="multiple", file_types=["image"], height=180)
        with gr.Row(elem_classes="summary"):
            status = gr.HTML(container=False, padding=False)
            table = gr.DownloadButton("Download as CSV", size="sm", visible=False, scale=0, min_width=180)
        gallery = gr.HTML(container=False, padding=False)
    for event in (files.change, ready):
        event(
            partial(classify_all, models),
            [files, model],
            [status, gallery, table],
            api_visibility="private",
            show_progress="hidden",  # `status` has a progress bar
            **PREDICTIONS,
        )


def classify_all(models: Models, files: Sequence[Upload], model: str | None) -> Iterator[tuple[str, str, Any]]:
    """Yield the line above the gallery, the gallery and the download button, as results come in."""
    no_table = gr.update(visible=False)
    yield "", "", no_table  # earlier results are removed, even if this fails
    if not files:
        return
    if len(files) > LIMIT:
        raise refuse(
            f"{len(files)} images were chosen; at most {LIMIT} can be classified at once. Remove some of them."
        )
    yield progress_line(0, len(files)), "", no_table
    results: list[Result] = []
    items = ""
    try:
        for batch in _in_batches(models.classifier(model), files):
            results += batch
            items += "".join(result.tile() for result in batch)
            yield progress_line(len(results), len(files)), tiles(items), no_table
    except UserError as error:
        raise refuse(error) from error
    bad = sum(result.prediction is None for result in results)
    file = save_bytes_to_cache(as_csv(results), "predictions.csv", get_upload_folder())  # deleted like an upload
    yield summary_line(len(results), bad, str(model)), tiles(items), gr.update(value=file, visible=True)


def as_csv(results: Sequence[Result]) -> bytes:
    """Format results as CSV, one row per file; with a byte-order mark, so that spreadsheets read it as UTF-8."""
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *(result.row() for result in results)])
    return text.getvalue().encode("utf-8-sig")


def _in_batches(classifier: Classifier, files: Sequence[Upload]) -> Iterator[list[Result]]:
    """Yield results in the order of the files, in batches limited by size and time."""
    batch: list[tuple[Upload, Image.Image | UserError]] = []
    began = time.monotonic()
    for place, file in enumerate(files, start=1):
        batch.append((file, _decoded(file)))
        if len(batch) == _BATCH or time.monotonic() - began > _BATCH_SECONDS or place == len(files):
            yield _classified(classifier, batch)
            batch, began = [], time.monotonic()


def _decoded(file: Upload) -> Image.Image | UserError:
    try:
        return decode(file.path, file.name)
    except UserError as error:
        return error


def _classified(classifier: Classifier, batch: Sequence[tuple[Upload, Image.Image | UserError]]) -> list[Result]:
    images = [decoded for _, decoded in batch if isinstance(decoded, Image.Image)]
    predictions = iter(classifier.predict(images, _TOP))
    return [
        Result(file.name, error=str(decoded))
        if isinstance(decoded, UserError)
        else Result(file.name, next(predictions), thumbnail(decoded))
        for file, decoded in batch
    ]


def _cell(text: str) -> str:
    """Quote text that a spreadsheet would take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
