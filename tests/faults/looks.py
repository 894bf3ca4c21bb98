"""Looks at runs: the functions behind the table, the card, the curves, --resume, --classify, --evaluate and --push.

Each look either returns something or is refused in a sentence; whatever else it raises is a fault.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image

from resnet_cifar.errors import UserError
from resnet_cifar.events import RunFailed
from resnet_cifar.hub.bundle import bundle
from resnet_cifar.inspection.predictions import check_classes, data_of, precision_of, spec_of
from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.preflight import check_request
from resnet_cifar.training.queue import Queue
from resnet_cifar.training.session import train
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.curves.notes_form import noted
from resnet_cifar.ui.curves.rows import COLUMNS, Rows
from resnet_cifar.ui.curves.tab import update
from resnet_cifar.ui.endpoints import all_runs, one_run
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.train.tab import Watch
from tests.builders import CPU, recipe

REFUSALS = (UserError, gr.Error)
OWNER = Rights()


def table(root: Path, hurt: str) -> Any:
    rows = Rows(Records(root))
    rows.look()
    shown = {row["name"]: row for row in rows.rows(rows.records.names(), OWNER)}
    assert hurt in shown or not (root / hurt / "recipe.json").exists()
    assert hurt not in shown or shown[hurt]["status"] != "unreadable" or len(shown[hurt]["reason"]) > 20
    all_runs(rows.records, OWNER)
    return {name: [row["cells"][word] for word in COLUMNS] for name, row in shown.items() if name != hurt}


def curves(root: Path, hurt: str) -> Any:
    rows = Rows(Records(root))
    both = {"shown": ["good", hurt], "by": "time", "smoothing": 0.5, "log_loss": True}
    update(rows, OWNER, both, None)
    update(rows, OWNER, {"open": hurt}, None)
    return noted(rows.records, OWNER, hurt)


def card(root: Path, hurt: str) -> Any:
    records, launcher = Records(root), Launcher(root, CPU)
    queue = Queue(launcher)
    queue.attend = lambda: None  # type: ignore[method-assign]  # it would start the run
    Watch(records, launcher, queue, OWNER).answer(hurt, None)
    Watch(records, launcher, queue, OWNER).answer("good", None)
    Estimates(records, CPU).rough(recipe())
    with suppress(*REFUSALS):
        one_run(records, OWNER, hurt)
    return one_run(records, OWNER, "good")["status"]


def models(root: Path, hurt: str) -> Any:
    found = Models(root, OWNER)
    found.ranked()
    assert "good" in found.names() and all(len(why) > 10 for why in found.unusable().values())
    return found.accuracy("good")


def classify(root: Path, hurt: str) -> Any:
    image = Image.new("RGB", (40, 40), "red")
    (prediction,) = Models(root, OWNER).classifier(hurt).predict([image])
    shares = torch.tensor(list(prediction.probabilities.values()))
    assert shares.isfinite().all() and shares.min() >= 0 and shares.sum() < 1.001
    return list(prediction.probabilities)


def evaluate(root: Path, hurt: str) -> Any:
    run = RunDir(root / hurt)
    load_checkpoint(run.path, CPU)
    check_classes(run, spec_of(run), data_of(run))
    return precision_of(run, CPU)


def start_from(root: Path, hurt: str) -> Any:
    check_request(recipe(init=str(root / hurt), val_images=0), None)


def resume(root: Path, hurt: str) -> Any:
    run = RunDir.open(root / hurt)
    run.data_dir()
    first = next(train(run, device=CPU, data_dir=None))
    if isinstance(first, RunFailed):
        assert first.user_error, first.reason
        raise UserError(first.reason)
    return type(first).__name__


def publish(root: Path, hurt: str) -> Any:
    with bundle(RunDir(root / hurt), "me/hurt") as folder:
        return sorted(file.name for file in folder.iterdir())


VIEWS: tuple[Callable[[Path, str], Any], ...] = (table, card, curves, models)
"""Looks at all runs, which no run may hurt."""
USES: tuple[Callable[[Path, str], Any], ...] = (classify, evaluate, start_from, publish, resume)
"""Uses of one run, which may be refused; the last one changes its record."""
