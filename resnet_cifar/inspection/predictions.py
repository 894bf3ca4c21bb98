"""Predictions of a run on its test or val images, stored as logits in the run's folder, in `inspection/`.

A stored file belongs to the weights and the image size that its header names. Of other weights, of another size, or
damaged, it counts as missing.
"""

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_cifar.data.batches import Images
from resnet_cifar.data.dataset import load, official_splits
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.engine.calibration import Reliability, reliability
from resnet_cifar.engine.evaluate import predict, summarise
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.model.calibration import Calibration
from resnet_cifar.model.checkpoint import load_checkpoint, read_config, weights_id
from resnet_cifar.model.tensors import read_tensors, write_tensors
from resnet_cifar.paths import DATA
from resnet_cifar.recipe.datasets import DATASETS, OWN, DatasetSpec
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import choose_precision, prepare, runs_in

FOLDER = "inspection"
"""Subfolder of a run that holds what was computed of it."""


@dataclass(frozen=True)
class Predictions:
    """A model's answers on a split, each row one image, in the order of the split."""

    split: str
    """`test` or `val`."""
    logits: Tensor
    """(N, classes) float32, on the CPU."""
    labels: Tensor
    """(N,) int64."""
    spec: DatasetSpec
    calibration: Calibration
    """Of the checkpoint."""

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def probabilities(self) -> Tensor:
        """Calibrated probabilities, (N, classes) float32."""
        return self.calibration(self.logits).softmax(1)

    @cached_property
    def predicted(self) -> Tensor:
        """Most likely class of each image, (N,) int64."""
        return self.logits.argmax(1)

    def summary(self) -> dict[str, Any]:
        """Return the fields of `eval.json`: loss, top-1, top-5, superclass top-1, calibration error, per class."""
        return summarise(self.logits, self.labels, self.spec, self.calibration)

    def reliability(self) -> Reliability:
        """Return accuracy by calibrated confidence, in 15 bins."""
        return reliability(self.logits, self.labels, self.calibration)


def stored(run: RunDir, split: str) -> Predictions | None:
    """Read the predictions of a run's present weights; None if they are missing, stale or damaged."""
    try:
        config = read_config(run.path)
        tensors, header = read_tensors(_file(run, split))
        logits, labels, spec = tensors["logits"].float(), tensors["labels"].long(), _spec(run, header["data"])
        fresh = header.items() >= belongs_to(run).items()
    except (UserError, KeyError):
        return None
    if not fresh or logits.shape != (len(labels), len(spec.labels)):
        return None
    return Predictions(split, logits, labels, spec, config.calibration)


def compute(
    run: RunDir, split: str, data_dir: Path | None, device: torch.device, precision: str | None = None
) -> Generator[Progress, None, Predictions]:
    """Predict a split at the checkpoint's image size, and store the result if the run's folder is writable.

    data_dir: as in `load_split`. precision: as in `precision_of`. Raises UserError if the
    checkpoint or the data cannot be used.
    """
    prepare(device)
    origin = belongs_to(run)
    model, config = load_checkpoint(run.path, device)
    images = (yield from load_split(run, split, data_dir)).to(device)
    source = Images(images, Preprocess(config.image_size, config.normalization, device), model.stem)
    autocast = runs_in(device, precision_of(run, device, precision))
    logits = (yield from predict(model, source, autocast, phase="test")).cpu()
    if not logits.isfinite().all():
        raise UserError(f"the logits of {run.name!r} are not finite; its weights cannot be used.")
    predictions = Predictions(split, logits, images.labels.cpu(), images.spec, config.calibration)
    # Not if training has saved other weights meanwhile. What is stored and fresh stays as it is, bit for bit.
    if belongs_to(run) == origin and stored(run, split) is None:
        with suppress(UserError, OSError):
            _store(run, predictions, origin)
    return predictions


def images(run: RunDir, split: str, data_dir: Path | None) -> Split:
    """Return the images behind the rows of a run's predictions, in the same order, without a download.

    data_dir: None means the folder that the run used last, or else `data/`. Raises UserError if the data is not there.
    """
    work = load_split(run, split, data_dir or run.data_dir() or DATA)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def load_split(
    run: RunDir, split: str, data_dir: Path | None, data: str | None = None
) -> Generator[Progress, None, Split]:
    """Load the test images, or those that the run's recipe cut from train as val, onto the CPU.

    data_dir: None means the folder that the run used last; without one, the data is downloaded. data: name of another
    data set. Raises UserError if there are no such images, or if the run knows other classes.
    """
    recipe = run.recipe() if run.recipe_file.exists() else None
    data, folder = data or data_of(run), data_dir or run.data_dir()
    if data == OWN:
        folder = run.data_dir()  # a folder of CIFAR-100 is no use here
    if split == "val":
        if recipe is None or not recipe.val_images or recipe.data != data:
            raise UserError(f"{run.name!r} has no val images of {data}; only its test images can be evaluated.")
        found = (yield from load(recipe, folder, torch.device("cpu"))).val
    elif recipe is not None and data == OWN:
        found = (yield from load(recipe, folder, torch.device("cpu"))).test
    else:
        found = (yield from official_splits(data, folder))[1]
    check_classes(run, found.spec, data)
    return found


def load_train(run: RunDir, data_dir: Path | None) -> Generator[Progress, None, Split]:
    """Load the split that a run's train images are part of; of a person's own images, only those.

    data_dir: as in `load_split`. Raises UserError if there are no such images, or if the run knows other classes.
    """
    data = data_of(run)
    if data == OWN:
        found = (yield from load(run.recipe(), run.data_dir(), torch.device("cpu"))).train
    else:
        found = (yield from official_splits(data, data_dir or run.data_dir()))[0]
    check_classes(run, found.spec, data)
    return found


def check_classes(run: RunDir, spec: DatasetSpec, data: str) -> None:
    """Raise UserError if the run's model knows other classes than a data set has."""
    labels = read_config(run.path).labels
    if labels != spec.labels:
        raise UserError(
            f"{run.name!r} knows other classes ({labels[0]}, ...; {len(labels)} in all) than {data} has; "
            "it can only be evaluated on the data it was trained on."
        )


def spec_of(run: RunDir) -> DatasetSpec:
    """Return the facts of the data set that a run learned."""
    return _spec(run, data_of(run))


def _spec(run: RunDir, data: str) -> DatasetSpec:
    return run.recipe().dataset if data == OWN else DATASETS[data]


def data_of(run: RunDir) -> str:
    """Name of the data set that a run learned."""
    return run.recipe().data if run.recipe_file.exists() else "cifar100"


def precision_of(run: RunDir, device: torch.device, wanted: str | None = None) -> str:
    """Precision that a run is evaluated in on a device, `bf16` or `fp32`; by default as its recipe says."""
    return choose_precision(wanted or (run.recipe().precision if run.recipe_file.exists() else "auto"), device)


def _file(run: RunDir, split: str) -> Path:
    return run.path / FOLDER / f"{split}.safetensors"


def belongs_to(run: RunDir) -> dict[str, str]:
    """Part of a file's header that must match the checkpoint."""
    return {"image_size": str(read_config(run.path).image_size), "weights": weights_id(run.path)}


def _store(run: RunDir, predictions: Predictions, origin: dict[str, str]) -> None:
    halves = predictions.logits.bfloat16()
    logits = halves if torch.equal(halves.float(), predictions.logits) else predictions.logits
    file = _file(run, predictions.split)
    file.parent.mkdir(exist_ok=True)
    labels = predictions.labels.to(torch.int32)
    write_tensors(file, {"logits": logits, "labels": labels}, origin | {"data": data_of(run)})
