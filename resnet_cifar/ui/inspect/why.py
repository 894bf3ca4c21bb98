"""Why a model answers as it does: what in an image speaks for a class, and the training images most like it."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from gradio.data_classes import FileData
from PIL import Image
from torch import Tensor

from resnet_cifar.data.images import centre_square, decode
from resnet_cifar.errors import UserError
from resnet_cifar.inspection.grad_cam import GROUPS, explain
from resnet_cifar.inspection.neighbours import Index
from resnet_cifar.inspection.predictions import load_train, spec_of
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.paths import DATA
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.background import at_once
from resnet_cifar.ui.classify.answers import example
from resnet_cifar.ui.classify.uploads import uploaded
from resnet_cifar.ui.inspect.inspected import HIDDEN, Inspected, data_folder, stamps
from resnet_cifar.ui.inspect.tiles import NO_IMAGES, data_url, png, words

_SIDE = 448  # pixels of the shown square
_MOST = 12  # training images
LAYERS: dict[str, str] = {group: group for group in reversed(GROUPS)}
"""Groups of layers by what stands on their buttons, the last one first."""


def look(inspected: Inspected, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the most likely classes of an image, and a heat map of what speaks for one of them.

    question: run, image (the path of an upload, or an example's name), and optionally label, group, and near: whether
    the nearest training images are returned too. Raises UserError if the image or the model cannot be used.
    """
    name, group = str(question["run"]), str(question.get("group") or GROUPS[-1])
    if group not in GROUPS:
        raise UserError(f"layer is {group!r}; it must be one of {', '.join(GROUPS)}.")
    classifier = inspected.models.classifier(name)
    image = _opened(question["image"])
    best = classifier.predict([image], 5)[0].probabilities
    label = question.get("label") if question.get("label") in best else next(iter(best))
    square = centre_square(image, min(_SIDE, max(64, *image.size)))
    return {
        "answers": [{"label": one, "name": words(one), "value": round(value, 4)} for one, value in best.items()],
        "label": label,
        "group": group,
        "image": data_url(square, "JPEG"),
        "heat": data_url(explain(classifier, square, str(label), group), "JPEG"),
        **(neighbours(inspected, name, classifier, image) if question.get("near") else {}),
    }


def neighbours(inspected: Inspected, name: str, classifier: Classifier, image: Image.Image) -> dict[str, Any]:
    """Return the training images that are most like an image to the network; none if the run has no index yet."""
    run = inspected.run(name)
    index = _index(run.path, stamps(run.path))
    if index is None:
        return {"neighbours": None, "why_not": ""}
    similarities, rows = index.search(classifier.features([image]), _MOST)
    labels = dict(zip(index.rows.tolist(), index.labels.tolist(), strict=True))
    images, why_not = (None, HIDDEN) if inspected.models.hides_images(name) else _images(run)
    found = [
        {
            "image": png(images[row]) if images is not None else "",
            "name": words(spec_of(run).labels[labels[row]]),
            "similarity": round(similarity, 3),
        }
        for row, similarity in zip(rows[0].tolist(), similarities[0].tolist(), strict=True)
    ]
    searched = f"The most similar of {len(index):,} of the {index.train_images:,} images it was trained on"
    if len(index) == index.train_images:
        searched = f"The most similar of the {len(index):,} images it was trained on"
    return {"neighbours": found, "searched": f"{searched}, by the cosine of their features.", "why_not": why_not}


def _images(run: RunDir) -> tuple[Tensor | None, str]:
    """Return all train images, or why there are none."""
    try:
        return _train_images(run.path, data_folder() or run.data_dir() or DATA), ""
    except UserError:
        return None, NO_IMAGES


@lru_cache(maxsize=1)
def _train_images(run: Path, folder: Path) -> Tensor:
    return at_once(load_train(RunDir(run), folder)).images


@lru_cache(maxsize=2)
def _index(folder: Path, _stamps: tuple[int, ...]) -> Index | None:
    return Index.stored(RunDir(folder))


def _opened(image: Any) -> Image.Image:
    if not isinstance(image, Mapping):
        raise UserError("no image was sent; drop one.")
    if "example" in image:
        return example(image["example"])
    file = uploaded(FileData(path=str(image.get("path") or ""), orig_name=str(image.get("name") or "the image")[:200]))
    return decode(file.path, file.name)
