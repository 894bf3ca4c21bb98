"""Predictions on a Space with ZeroGPU, which has a GPU only while a decorated function runs; elsewhere plain calls.

On such a Space `spaces` must be imported before torch, so this module must be the first to import either. The decorated
function runs in a forked process: only there is a GPU, although torch reports one to the page's process too.
Source: https://huggingface.co/docs/hub/spaces-zerogpu.
"""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

if os.environ.get("SPACES_ZERO_GPU") == "true":
    import spaces

import torch
from PIL import Image

from resnet_cifar.model.classifier import Classifier, Prediction

ON_ZERO_GPU = os.environ.get("SPACES_ZERO_GPU") == "true"
"""Whether this is a Space with ZeroGPU."""
PAGE_DEVICE = "cpu" if ON_ZERO_GPU else "auto"
"""Device of the page's own process."""
_SECONDS = 15  # of GPU time, at most: loading a model takes one or two; the less is asked for, the sooner it is given

Predict = Callable[[Path, int, Sequence[Image.Image], int], list[Prediction]]


@lru_cache(maxsize=4)
def classifier(folder: Path, version: int, device: str) -> Classifier:
    """Load a checkpoint folder once. `version` differs where its weights do. Raises UserError as Classifier.load."""
    return Classifier.load(folder, device)


def _with_gpu(function: Predict) -> Predict:
    return spaces.GPU(duration=_SECONDS)(function) if ON_ZERO_GPU else function


@_with_gpu
def predict(folder: Path, version: int, images: Sequence[Image.Image], top: int) -> list[Prediction]:
    """Classify images with a checkpoint, as Classifier.predict.

    On ZeroGPU, arguments and result are pickled, and any failure, be it of the visitor's quota, is a gradio.Error.
    """
    if ON_ZERO_GPU:
        torch.set_num_threads(1)  # the parent's other threads are not in a fork, and OpenMP would wait for them
    return classifier(folder, version, "auto").predict(images, top)
