"""What can be computed of a run, what that costs on this machine, and the computations at work."""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from resnet_cifar.errors import UserError
from resnet_cifar.inspection import predictions, robustness
from resnet_cifar.inspection.corruptions import CORRUPTIONS
from resnet_cifar.inspection.neighbours import Index
from resnet_cifar.inspection.predictions import precision_of, spec_of
from resnet_cifar.model.checkpoint import MODEL
from resnet_cifar.report.text import roughly
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import describe, runs_in, wait_for
from resnet_cifar.ui.inspect.inspected import Inspected, data_folder
from resnet_cifar.ui.inspect.views import name_of, split_of
from resnet_cifar.ui.inspect.works import Work, Works
from resnet_cifar.ui.rights import Rights

KINDS = ("predictions", "neighbours", "robustness")
_PROBE = 16  # images in the batch whose time is measured
_A_CLASS = 100  # train images of each class in an index that is built on a CPU
_CORRUPTED = 500  # test images under each corruption on a CPU


class Offers:
    """Offers computations to those who may train, and carries them out."""

    def __init__(self, inspected: Inspected, rights: Rights, device: torch.device) -> None:
        self._inspected = inspected
        self._rights = rights
        self._device = device
        self._works = Works()

    def offer(self, name: str, split: str, kind: str) -> dict[str, Any]:
        """Return what stands on the button that starts a computation, beside it, and whether it is at work."""
        run, rights = self._inspected.run(name), self._rights
        why, button, doing = {
            "predictions": (
                f"{name} has not been inspected on {split} yet, or its weights have changed since.",
                "Inspect this run",
                f"Classifying the {split} images",
            ),
            "neighbours": (
                "The nearest training images are found in an index of this run, which is built once.",
                "Build the index",
                "Computing the features of training images",
            ),
            "robustness": (
                f"How {name} does on noisy, blurred, pale, bright and compressed images has not been measured yet.",
                "Measure robustness",
                "Classifying corrupted images",
            ),
        }[kind]
        return {
            "why": why,
            "button": button,
            "doing": doing,
            "cost": self._cost(name, run, split, kind) if rights.train else "",
            "may_not": "" if rights.train else rights.why_no_training if rights.change else rights.why_not,
            "state": self._state(name, split, kind),
        }

    def begin(self, question: Mapping[str, Any]) -> None:
        """Start a computation."""
        self._rights.need_training()
        name, split, kind = _asked(question)
        run = self._inspected.run(name)
        self._works.start(_key(name, split, kind), self._work(run, split, kind))

    def halt(self, question: Mapping[str, Any]) -> None:
        """Stop a computation."""
        self._rights.need_training()
        self._works.stop(_key(*_asked(question)))

    def progress(self, question: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how far a computation is; None if it has ended."""
        return self._state(*_asked(question))

    def _state(self, name: str, split: str, kind: str) -> dict[str, Any] | None:
        state = self._works.state(_key(name, split, kind))
        if state and "error" in state and not self._rights.change:
            return {"error": "It failed; the reason is shown only to those who may change runs."}
        return state

    def _work(self, run: RunDir, split: str, kind: str) -> Callable[[], Work]:
        folder = data_folder()
        if kind == "predictions":
            return lambda: predictions.compute(run, split, folder, self._device)
        if kind == "neighbours":
            return lambda: Index.build(run, folder, self._device)
        return lambda: robustness.measure(run, folder, self._device)

    def _cost(self, name: str, run: RunDir, split: str, kind: str) -> str:
        images = self._images(run, split, kind)
        weights = run.path / MODEL
        speed = _images_per_second(self._inspected, name, self._device, weights, weights.stat().st_mtime_ns)
        return f"{images:,} images, {roughly(images / speed)} on this {describe(self._device)}"

    def _images(self, run: RunDir, split: str, kind: str) -> int:
        spec = spec_of(run)
        if kind == "robustness":
            images = spec.test_images if self._device.type == "cuda" else min(spec.test_images, _CORRUPTED)
            return images * (1 + sum(map(len, CORRUPTIONS.values())))
        if kind == "neighbours":
            few = _A_CLASS * len(spec.labels)
            return spec.train_images if self._device.type == "cuda" else min(spec.train_images, few)
        if split == "test":
            return spec.test_images
        return run.recipe().val_images


def _asked(question: Mapping[str, Any]) -> tuple[str, str, str]:
    if question["kind"] not in KINDS:
        raise UserError(f"kind is {question['kind']!r}; it must be one of {', '.join(KINDS)}.")
    return name_of(question), split_of(question), str(question["kind"])


def _key(name: str, split: str, kind: str) -> str:
    return "/".join((kind, name, split if kind == "predictions" else ""))


@lru_cache(maxsize=16)
def _images_per_second(inspected: Inspected, name: str, device: torch.device, weights: Path, _version: int) -> float:
    """Measure how fast a model classifies here: the quickest of a few small batches, since the first ones warm up."""
    classifier = inspected.models.classifier(name)
    inputs = classifier.inputs([Image.new("RGB", (32, 32))] * _PROBE)
    autocast = runs_in(device, precision_of(RunDir(weights.parent), device))
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        with torch.inference_mode(), autocast():
            classifier.model(inputs)
        wait_for(device)
        seconds.append(time.perf_counter() - began)
    return _PROBE / min(seconds)
