"""The upload folder of a run: checkpoint, card, plot, recipe and metrics. Local paths never get into it."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from resnet_cifar import events
from resnet_cifar.events import Event, RunFailed, RunResumed, RunStarted
from resnet_cifar.hub.card import CARD, CURVES, model_card
from resnet_cifar.model.checkpoint import CONFIG, MODEL, read_config
from resnet_cifar.model.tensors import read_tensors
from resnet_cifar.model.unknown import UNKNOWN, read_unknown
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.report.static_figure import sketch
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.results import read_results
from resnet_cifar.runs.run_dir import RunDir

_REMOVED = "removed before publishing: it names local files."
_URL = re.compile(r"\bhttps?://\S*")
# A slash at the start of a word, or behind ~, . or ..; the slash of 3/4 and and/or follows a letter or a digit.
_LOCAL_PATH = re.compile(r"\bfile:|(?<!\w)(~[\w-]*|\.{1,2})?/+[^\s/]")


@contextmanager
def bundle(run: RunDir, repo: str, onnx: bool = False) -> Iterator[Path]:
    """Build the upload folder in a temporary place; without optimizer state, images of the data set and local paths.

    `onnx`: whether the card mentions an ONNX file, which the caller adds. Raises UserError where the run has no usable
    weights.
    """
    read_tensors(run.path / MODEL)  # raises where the file is damaged
    read_config(run.path)
    record = Record(run).read()
    used = [run.path / MODEL, run.path / CONFIG, *([run.path / UNKNOWN] if read_unknown(run.path) else [])]
    with tempfile.TemporaryDirectory(prefix="resnet_cifar-push-") as name:
        folder = Path(name)
        for file in used:
            _link(file, folder / file.name)
        (folder / CARD).write_text(str(model_card(run, repo, onnx)), encoding="utf-8")
        folders = _folders_used(run)
        (folder / run.recipe_file.name).write_text(_recipe(record.recipe, folders), encoding="utf-8")
        (folder / run.metrics_file.name).write_text(_metrics(run, folders), encoding="utf-8")
        if (results := read_results(run)) is not None:
            (folder / run.eval_file.name).write_text(results.to_json(), encoding="utf-8")
        sketch(record).save(folder / CURVES, optimize=True)
        yield folder


def _link(file: Path, target: Path) -> None:
    """Hard-link a file; copy it where the file system cannot."""
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)


def _recipe(recipe: Recipe, folders: list[Path]) -> str:
    teacher = Path(recipe.teacher).name if recipe.teacher else None
    about = _without_paths(recipe.about, folders)
    return replace(recipe, init=Path(recipe.init).name, teacher=teacher, about=about).to_json()


def _metrics(run: RunDir, folders: list[Path]) -> str:
    """Lines of `metrics.jsonl` as they are published, without local paths."""
    return "".join(events.to_json(_published(event, folders), time) + "\n" for event, time in run.history())


def _published(event: Event, folders: list[Path]) -> Event:
    match event:
        case RunStarted() | RunResumed():
            return replace(event, data_dir=None)
        case RunFailed():
            return replace(event, reason=_without_paths(event.reason, folders))
    return event


def _folders_used(run: RunDir) -> list[Path]:
    """List the absolute paths that a run is known to have used, the longest first."""
    recipe = run.recipe()
    used = {str(run.path), recipe.init, recipe.teacher or ""}
    used |= {event.data_dir or "" for event, _ in run.history() if isinstance(event, RunStarted | RunResumed)}
    paths = (Path(name) for name in used)
    return sorted((path for path in paths if path.is_absolute() and path.name), key=lambda path: -len(str(path)))


def _without_paths(text: str, folders: list[Path]) -> str:
    """Remove local paths from free text: known `folders` become their last part, and `FOLDER/x` becomes `x`.

    Any other path may contain spaces, so where it ends cannot be told: it takes the whole text with it.
    """
    for folder in folders:
        text = text.replace(f"{folder}/", "")
        text = folder.name.join(re.split(rf"{re.escape(str(folder))}(?!\w)", text))  # /data is no part of /data2
    return _REMOVED if _LOCAL_PATH.search(_URL.sub("", text)) else text
