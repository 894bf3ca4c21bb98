"""What of a run others get: its files in a folder, with a card, and nothing of this machine."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from resnet_cifar import events
from resnet_cifar.events import RunResumed, RunStarted
from resnet_cifar.hub.card import CARD, CURVES, model_card
from resnet_cifar.model.checkpoint import CONFIG, MODEL, read_tensors
from resnet_cifar.report.static_figure import sketch
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.run_dir import RunDir


@contextmanager
def staged(run: RunDir, repo: str, onnx: bool = False) -> Iterator[Path]:
    """A folder with what of a run goes to the Hub: no state of the optimizer, no images, no path of this machine.

    `onnx`: whether the card is to speak of an ONNX file, which whoever asks puts there.
    """
    tensors, _ = read_tensors(run.path / MODEL)  # a damaged file is not for others
    del tensors
    record = Record(run).read()
    with tempfile.TemporaryDirectory(prefix="resnet_cifar-push-") as name:
        folder = Path(name)
        for file in (run.path / MODEL, run.path / CONFIG, run.eval_file):
            if file.exists():
                _link(file, folder / file.name)
        (folder / CARD).write_text(str(model_card(run, repo, onnx)), encoding="utf-8")
        recipe = record.recipe
        if recipe.init not in ("scratch", "imagenet"):
            recipe = replace(recipe, init=Path(recipe.init).name)
        if recipe.teacher is not None:
            recipe = replace(recipe, teacher=Path(recipe.teacher).name)
        (folder / run.recipe_file.name).write_text(recipe.to_json(), encoding="utf-8")
        (folder / run.metrics_file.name).write_text(_without_paths(run), encoding="utf-8")
        sketch(record).save(folder / CURVES, optimize=True)
        yield folder


def _link(file: Path, target: Path) -> None:
    """The same file by another name where the disk can, a copy elsewhere."""
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)


def _without_paths(run: RunDir) -> str:
    lines = []
    for event, time_ in run.history():
        if isinstance(event, RunStarted | RunResumed):
            event = replace(event, data_dir=None)
        lines.append(events.to_json(event, time_) + "\n")
    return "".join(lines)
