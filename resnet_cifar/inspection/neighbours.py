"""The train images that are most like an image to the network: cosine similarity of the features before fc.

A run has one index, stored in its folder in half precision. Of other weights, or damaged, it counts as missing.
"""

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_cifar.data.dataset import balanced_order
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.engine.features import compute_features
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.inspection.predictions import FOLDER, belongs_to, load_train, precision_of
from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.model.tensors import read_tensors, write_tensors
from resnet_cifar.model.unknown import read_unknown
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import prepare, runs_in
from resnet_cifar.system.distributed import ALONE

_FILE = "neighbours.safetensors"
_A_CLASS_ON_A_CPU = 100  # images of each class; on a GPU all images take as long


@dataclass(frozen=True)
class Index:
    """Features of images that the model was trained on."""

    features: Tensor
    """(N, features) float32 with the precision of half, of length 1, on the CPU."""
    rows: Tensor
    """(N,) int64, the images' rows in the split of `load_train`."""
    labels: Tensor
    """(N,) int64."""
    train_images: int
    """Images that the model was trained on; the index may hold fewer, but then as many of each class."""

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def build(cls, run: RunDir, data_dir: Path | None, device: torch.device) -> Generator[Progress, None, "Index"]:
        """Compute a run's index and store it if the run's folder is writable.

        data_dir: None means the folder that the run used last; without one, the data is downloaded. On a CPU, the index
        holds the images of `unknown.safetensors`, whose features are known, or else 100 of each class. Raises UserError
        if the checkpoint or the data cannot be used.
        """
        prepare(device)
        origin = belongs_to(run)
        train = yield from load_train(run, data_dir)
        learned = _learned_from(run, train.labels)
        index = cls._of_bank(run, train.labels, learned) if device.type == "cpu" else None
        if index is None:
            index = yield from cls._compute(run, train, learned, device)
        if belongs_to(run) == origin:  # else, training has saved other weights meanwhile
            with suppress(UserError, OSError):
                index._store(run, origin)
        return index

    @classmethod
    def _of_bank(cls, run: RunDir, labels: Tensor, learned: Tensor) -> "Index | None":
        """Make an index of the features by which unknown images are noticed; None if the run has none."""
        unknown = read_unknown(run.path)
        if unknown is None or not len(unknown.bank) or len(unknown.bank) > len(learned):
            return None
        rows, order = learned[: len(unknown.bank)].sort()
        return cls(_unit(unknown.bank[order]).half().float(), rows, labels[rows], len(learned))

    @classmethod
    def _compute(
        cls, run: RunDir, train: Split, learned: Tensor, device: torch.device
    ) -> Generator[Progress, None, "Index"]:
        model, config = load_checkpoint(run.path, device)
        rows = learned[: _A_CLASS_ON_A_CPU * len(config.labels)] if device.type == "cpu" else learned
        rows = rows.sort().values
        preprocess = Preprocess(config.image_size, config.normalization, device)
        autocast, plain = runs_in(device, precision_of(run, device)), AUGMENTATIONS["none"]
        images, generator = train.take(rows).to(device), torch.Generator(device)
        computed = yield from compute_features(model, images, preprocess, plain, 1, generator, autocast, ALONE)
        features = _unit(computed.inputs(0, len(rows)).cpu()).half().float()  # as they are stored
        return cls(features, rows, train.labels[rows], len(learned))

    @classmethod
    def stored(cls, run: RunDir) -> "Index | None":
        """Read the index of a run's present weights; None if it is missing, stale or damaged."""
        try:
            tensors, header = read_tensors(run.path / FOLDER / _FILE)
            fresh = header.items() >= belongs_to(run).items()
            rows, labels, learned = tensors["rows"].long(), tensors["labels"].long(), int(header["train_images"])
            return cls(tensors["features"].float(), rows, labels, learned) if fresh else None
        except (UserError, KeyError, ValueError):
            return None

    def search(self, features: Tensor, k: int = 10) -> tuple[Tensor, Tensor]:
        """Find the `k` most similar images for each of (B, features), the most similar first.

        Returns cosine similarities (B, k), and rows in the split of `load_train` (B, k).
        """
        similarities = _unit(features.cpu()) @ self.features.T
        best = similarities.topk(min(k, len(self)))
        return best.values, self.rows[best.indices]

    def _store(self, run: RunDir, origin: dict[str, str]) -> None:
        file = run.path / FOLDER / _FILE
        file.parent.mkdir(exist_ok=True)
        tensors = {"features": self.features.half(), "rows": self.rows.int(), "labels": self.labels.int()}
        write_tensors(file, tensors, origin | {"train_images": str(self.train_images)})


def _unit(features: Tensor) -> Tensor:
    """Scale each row to length 1, in float32."""
    return F.normalize(features.float())


def _learned_from(run: RunDir, labels: Tensor) -> Tensor:
    """Return the rows of the train split that a run learned from, without val, in the order of `load`."""
    if not run.recipe_file.exists():
        return balanced_order(labels, seed=0)
    recipe = run.recipe()
    if recipe.own is not None:
        return torch.arange(len(labels))
    wanted = recipe.train_images or len(labels) - recipe.val_images
    return balanced_order(labels, recipe.seed)[recipe.val_images : recipe.val_images + wanted]
