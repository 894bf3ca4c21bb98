"""Saves of a run in its folder: all that resuming needs, and the best weights as a checkpoint."""

import json
from typing import Any

from resnet_cifar.engine.state import Best, Weights
from resnet_cifar.errors import UserError
from resnet_cifar.model.calibration import IDENTITY, Calibration
from resnet_cifar.model.checkpoint import ModelConfig, read_tensors, save_checkpoint, write_tensors
from resnet_cifar.model.unknown import Unknown, write_unknown
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.runs.run_dir import RunDir

FORMAT = 2  # of last.safetensors


class Saves:
    """Reads and writes `last.safetensors`, and writes the checkpoint; one process of a run uses it."""

    def __init__(self, run: RunDir, recipe: Recipe) -> None:
        self._run = run
        self._recipe = recipe
        self._written: tuple[Best, Calibration] | None = None
        """Weights and calibration that the checkpoint in the folder holds."""

    def read(self) -> tuple[Weights, dict[str, Any] | None]:
        """Tensors and facts of the last save; without one, nothing and None.

        Raises UserError if the file is damaged, or if another version wrote it.
        """
        if not self._run.last_file.exists():
            return {}, None
        tensors, header = read_tensors(self._run.last_file)
        facts = json.loads(header["resume"])
        if facts.get("format") != FORMAT:
            raise UserError(
                f"{self._run.last_file} was saved by another version of resnet_cifar, and this one cannot resume it; "
                f"resume it with that version, or start a new run with --init {self._run.handle}."
            )
        return tensors, facts

    def write(self, tensors: Weights, facts: dict[str, Any], normalization: Normalization) -> None:
        """Write the state of a run, with the number of bytes of metrics.jsonl that it belongs to."""
        facts = facts | {
            "format": FORMAT,
            "metrics_bytes": self._run.flush(),
            "normalization": [normalization.mean, normalization.std],
        }
        write_tensors(self._run.last_file, tensors, {"resume": json.dumps(facts)})

    def write_best(
        self,
        best: Best,
        normalization: Normalization,
        calibration: Calibration = IDENTITY,
        unknown: Unknown | None = None,
    ) -> None:
        """Write the best weights as the run's checkpoint, unless it holds them already."""
        if self._written is None or self._written[0] is not best or self._written[1] != calibration:
            config = ModelConfig(
                arch=self._recipe.arch,
                stem=self._recipe.stem,
                image_size=best.image_size,
                normalization=normalization,
                labels=self._recipe.dataset.labels,
                side=self._recipe.dataset.side,
                calibration=calibration,
            )
            save_checkpoint(self._run.path, config, best.weights)
            self._written = best, calibration
        if unknown is not None:
            write_unknown(self._run.path, unknown)
