"""Robustness: accuracy on corrupted test images, stored as JSON in the run's folder.

A stored file belongs to the weights, the image size and the strengths that it names. Of others, or damaged, it counts
as missing. Only results on the official files are called CIFAR-100-C.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from resnet_cifar.data.batches import Images
from resnet_cifar.data.dataset import balanced_order
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.engine.evaluate import predict
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.inspection import cifar100c
from resnet_cifar.inspection.cifar100c import Cifar100C
from resnet_cifar.inspection.corruptions import CORRUPTIONS, corrupt
from resnet_cifar.inspection.predictions import FOLDER, belongs_to, check_classes, load_split, precision_of
from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system import files
from resnet_cifar.system.device import Autocast, prepare, runs_in

_FILE = "robustness.json"
_IMAGES_ON_A_CPU = 500  # of each corruption at each strength; on a GPU all test images take less time
_SEED = 0

Top1 = Mapping[str, tuple[float, ...]]
"""Top-1 of each corruption at each strength, the weakest first."""


@dataclass(frozen=True)
class Robustness:
    """Top-1 of a run on clean and on corrupted test images."""

    images: int
    """Number of test images behind each value, as many of each class."""
    clean: float
    """Top-1 on the same images without corruption."""
    top1: Top1
    """On the project's own corruptions, `CORRUPTIONS`."""
    cifar100c: Top1 | None = None
    """On the official files of CIFAR-100-C, 10,000 images behind each value."""

    @property
    def mean_top1(self) -> float:
        """Mean over the project's own corruptions and their strengths; not comparable with published results."""
        return _mean(self.top1)

    @property
    def cifar100c_mean_top1(self) -> float | None:
        """Mean over the 15 corruptions of CIFAR-100-C and their five strengths."""
        return None if self.cifar100c is None else _mean(self.cifar100c)

    def to_json(self, origin: Mapping[str, str]) -> str:
        """Write the results and what they belong to."""
        official = None
        if self.cifar100c is not None:
            official = {"mean_top1": self.cifar100c_mean_top1, "top1": self.cifar100c}
        fields = {
            **origin,
            "images": self.images,
            "seed": _SEED,
            "strengths": dict(CORRUPTIONS),
            "clean_top1": self.clean,
            "mean_top1": self.mean_top1,
            "top1": self.top1,
            "cifar100c": official,
        }
        return json.dumps(fields, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: Mapping[str, str]) -> "Robustness | None":
        """Read what `to_json` wrote; None if it belongs to something else. Raises ValueError if it is damaged."""
        try:
            fields: dict[str, Any] = json.loads(text)
            if not fields.items() >= {**origin, "seed": _SEED}.items():
                return None
            if fields["strengths"] != {name: list(strengths) for name, strengths in CORRUPTIONS.items()}:
                return None
            official = fields["cifar100c"]
            of_files = _checked(official["top1"], cifar100c.NAMES) if official else None
            return cls(
                int(fields["images"]), float(fields["clean_top1"]), _checked(fields["top1"], CORRUPTIONS), of_files
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the results of a run: {error}") from error


def stored(run: RunDir) -> Robustness | None:
    """Read the robustness of a run's present weights; None if it is missing, stale or damaged."""
    try:
        return Robustness.from_json((run.path / FOLDER / _FILE).read_text(encoding="utf-8"), belongs_to(run))
    except (OSError, ValueError, UserError):
        return None


def measure(
    run: RunDir,
    data_dir: Path | None,
    device: torch.device,
    images: int | None = None,
    official: Path | None = None,
) -> Generator[Progress, None, Robustness]:
    """Test a run on corrupted images, and store the result if the run's folder is writable.

    data_dir: as in `load_split`. images: number of test images; default: 500 on a CPU, all on a GPU. official: folder
    of CIFAR-100-C's files, on which the run is tested too; without it, earlier results on them are kept. Raises
    UserError if the checkpoint, the data or the files cannot be used.
    """
    prepare(device)
    origin, earlier = belongs_to(run), stored(run)
    files_of_others = None if official is None else Cifar100C.open(official)
    if files_of_others is not None:
        check_classes(run, cifar100c.SPEC, "CIFAR-100-C")
    model, config = load_checkpoint(run.path, device)
    tester = _Tester(model, Preprocess(config.image_size, config.normalization, device), run, device)
    test = yield from load_split(run, "test", data_dir)
    count = min(len(test), images or (_IMAGES_ON_A_CPU if device.type == "cpu" else len(test)))
    part = test.take(balanced_order(test.labels, _SEED)[:count]).to(device)
    settings = sum(map(len, CORRUPTIONS.values()))
    clean, *top1 = yield from tester.top1(_corrupted(part), count * (1 + settings), "test")
    found = Robustness(count, clean, _by_name(CORRUPTIONS, top1), earlier.cifar100c if earlier else None)
    if files_of_others is not None:
        total = len(files_of_others.labels) * len(cifar100c.NAMES)
        values = yield from tester.top1(files_of_others.splits(), total, "evaluate")
        found = replace(found, cifar100c=_by_name(cifar100c.NAMES, values))
    if belongs_to(run) == origin:  # else, training has saved other weights meanwhile
        with suppress(UserError, OSError):
            (run.path / FOLDER).mkdir(exist_ok=True)
            files.write_text(run.path / FOLDER / _FILE, found.to_json(origin))
    return found


class _Tester:
    """A model that is tested on one split after another."""

    def __init__(self, model: ResNet, preprocess: Preprocess, run: RunDir, device: torch.device) -> None:
        self._model = model
        self._preprocess = preprocess
        self._device = device
        self._autocast: Autocast = runs_in(device, precision_of(run, device))

    def top1(self, splits: Iterable[Split], total: int, phase: str) -> Generator[Progress, None, list[float]]:
        """Return top-1 on each split; the progress is that of all of them, `total` images."""
        found: list[float] = []
        done = 0
        for split in splits:
            split = split.to(self._device)
            work = predict(self._model, Images(split, self._preprocess, self._model.stem), self._autocast)
            while True:
                try:
                    event = next(work)
                except StopIteration as end:
                    logits: torch.Tensor = end.value
                    break
                yield Progress(phase=phase, done=done + event.done, total=total)
            found.append((logits.argmax(1) == split.labels).double().mean().item())
            done += len(split)
        return found


def _corrupted(split: Split) -> Iterator[Split]:
    """Yield the split itself, then corrupted by each of `CORRUPTIONS` at each strength."""
    yield split
    for name, strengths in CORRUPTIONS.items():
        for strength in strengths:
            yield replace(split, images=corrupt(split.images, name, strength, _SEED))


def _by_name(names: Iterable[str], values: Sequence[float]) -> dict[str, tuple[float, ...]]:
    names = list(names)
    each = len(values) // len(names)
    return {name: tuple(values[place * each : (place + 1) * each]) for place, name in enumerate(names)}


def _checked(top1: Mapping[str, Sequence[float]], names: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Raise ValueError if values are missing or are no fractions."""
    checked = {name: tuple(float(value) for value in top1[name]) for name in names}
    if not all(
        len(values) == cifar100c.STRENGTHS and 0 <= min(values) <= max(values) <= 1 for values in checked.values()
    ):
        raise ValueError("a corruption does not have a fraction for each of its five strengths")
    return checked


def _mean(top1: Top1) -> float:
    return mean(value for values in top1.values() for value in values)
