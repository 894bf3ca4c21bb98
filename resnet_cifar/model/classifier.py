"""From images to class probabilities, the same for the page, the API and the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from resnet_cifar.data.images import centre_square, to_image
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.model.checkpoint import ModelConfig, load_checkpoint
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.model.unknown import Outputs, Unknown, read_unknown
from resnet_cifar.recipe.classes import COARSE, FINE, FINE_TO_COARSE
from resnet_cifar.system.device import choose_device


@dataclass(frozen=True)
class Prediction:
    """Prediction for one image."""

    probabilities: dict[str, float]
    """Calibrated probabilities of the most likely classes, the most likely first."""
    superclass: str | None
    """Superclass of the most likely class; None if it is not one of CIFAR-100's."""
    seen: Image.Image
    """The image as the network sees it."""
    known: bool | None = None
    """Whether the image shows one of the classes, as far as can be told; None for a model without such a score."""

    @property
    def label(self) -> str:
        """The most likely class."""
        return next(iter(self.probabilities))

    def as_json(self) -> dict[str, Any]:
        """Return the prediction as the API and `--json` show it."""
        confidences = [{"label": name, "confidence": value} for name, value in self.probabilities.items()]
        return {
            "label": self.label,
            "superclass": self.superclass,
            "known": self.known,
            "confidences": confidences,
        }


class Classifier:
    """A checkpoint's model and preprocessing. It has its own copy of the weights, so its folder may change."""

    def __init__(
        self, model: ResNet, config: ModelConfig, device: torch.device, unknown: Unknown | None = None
    ) -> None:
        self.config = config
        self._model = model
        self._unknown = unknown
        self._device = device
        self._preprocess = Preprocess(config.image_size, config.normalization, device)

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> "Classifier":
        """Load a checkpoint folder. Raises UserError if it is missing or damaged."""
        chosen = choose_device(device)
        model, config = load_checkpoint(folder, chosen)
        return cls(model, config, chosen, read_unknown(folder))

    @property
    def model(self) -> ResNet:
        """The network, in evaluation mode; other threads use it too, so it must not be changed."""
        return self._model

    def inputs(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Prepare RGB images of any size: (B, 3, image_size, image_size); only the central square is used."""
        small = np.stack([np.asarray(centre_square(image, self.config.side)) for image in images])
        return self._preprocess(torch.from_numpy(small).permute(0, 3, 1, 2).to(self._device))

    def features(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Compute the input of the head for each image: (B, features)."""
        with torch.inference_mode():
            return self._model.features(self.inputs(images))

    def predict(self, images: Sequence[Image.Image], top: int = 5) -> list[Prediction]:
        """Return the `top` most likely classes of each RGB image, of any size; only the central square is used."""
        if not images:
            return []
        inputs = self.inputs(images)
        with torch.inference_mode():
            features, texture = self._model.features_and_texture(inputs)
            logits = self._model.fc(features)
            best = self.config.calibration(logits).softmax(1).topk(min(top, len(self.config.labels)))
            known = self._unknown.known(Outputs(features, texture, logits)) if self._unknown else [None] * len(images)
        rows = zip(best.values.tolist(), best.indices.tolist(), self._seen(inputs), known, strict=True)
        return [self._prediction(*row) for row in rows]

    def _prediction(self, values: list[float], indices: list[int], seen: Image.Image, known: bool | None) -> Prediction:
        names = [self.config.labels[index] for index in indices]
        superclass = COARSE[FINE_TO_COARSE[FINE.index(names[0])]] if self.config.labels == FINE else None
        return Prediction(dict(zip(names, values, strict=True)), superclass, seen, known)

    def _seen(self, inputs: torch.Tensor) -> list[Image.Image]:
        """Convert the network's inputs back to images."""
        normalization = self.config.normalization
        mean, std = (torch.tensor(values, device=self._device) for values in (normalization.mean, normalization.std))
        pixels = (inputs.permute(0, 2, 3, 1) * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8)
        return [to_image(image) for image in pixels.permute(0, 3, 1, 2).cpu()]
