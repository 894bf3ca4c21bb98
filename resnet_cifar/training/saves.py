"""Saves of a run in its folder: all that resuming needs, and the best weights as a checkpoint."""

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import torch

from resnet_cifar import decode
from resnet_cifar.decode import Bounds, Fraction, Size
from resnet_cifar.engine.state import Best, Training, Weights, tensors_under
from resnet_cifar.errors import UserError
from resnet_cifar.events import EpochEnded, RunResumed, StageEnded, StageStarted, StepLogged
from resnet_cifar.model.calibration import IDENTITY, Calibration
from resnet_cifar.model.checkpoint import MODEL, ModelConfig, check_fit, save_checkpoint
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.model.tensors import read_tensors, write_tensors
from resnet_cifar.model.unknown import Unknown, write_unknown
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system import files

FORMAT = 2  # of last.safetensors
_TAIL = 2**15  # bytes of metrics.jsonl; its end shows whether it is the file that was saved
_TRAINED = StageStarted | RunResumed | StepLogged | EpochEnded | StageEnded

_Count = Annotated[int, Bounds(0, 10**9)]
_Number = Annotated[float, Bounds(-1e30, 1e30)]
_Colour = tuple[float, float, float]
_Steps = Annotated[tuple[tuple[_Number, _Number, _Count], ...], Bounds(0, 10**6)]


@dataclass(frozen=True, kw_only=True)
class _Position:
    stage: _Count
    epoch: _Count
    step: _Count
    announced: bool


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """Header of last.safetensors: what `Training.state` returned, and what is added to it here."""

    format: int
    position: _Position
    tally: tuple[_Number, _Number, _Count, _Steps]
    best: tuple[Fraction | None, Size] | None
    stage_best: Fraction | None
    stale_epochs: _Count
    micro_batches: Annotated[int, Bounds(1, 2)]
    metrics_bytes: Annotated[int, Bounds(0, 2**62)]
    metrics_tail: str | None = None
    """None in files of earlier versions."""
    normalization: tuple[_Colour, _Colour]
    times: tuple[_Number, _Number, _Number, _Count]


class Saves:
    """Reads and writes `last.safetensors`, and writes the checkpoint; one process of a run uses it."""

    def __init__(self, run: RunDir, recipe: Recipe) -> None:
        self._run = run
        self._recipe = recipe
        self._written: tuple[Best, Calibration] | None = None
        """Weights and calibration that the checkpoint in the folder holds."""

    def read(self) -> tuple[Weights, dict[str, Any] | None]:
        """Tensors and facts of the last save; without one, nothing and None.

        Raises UserError if the file is damaged or lost, if another version wrote it, or if it does not fit the recipe
        or the record. A run saves before its first step, so a run that has trained has lost a save that is missing.
        """
        file = self._run.last_file
        if not os.path.lexists(file):
            # A lost save must not look like a run that never began, or it would start again and cut its record.
            trained = any(isinstance(event, _TRAINED) for event, _ in self._run.history())
            if trained or (self._run.path / MODEL).exists():
                raise UserError(f"run {self._run.name!r} has trained, but its {file.name} is missing. {self._advice()}")
            return {}, None
        try:
            tensors, header = read_tensors(file)
            facts = decode.parse(header.get("resume", ""), f"the state in {file}")
            # asked before all else, because another version's facts would be refused as damaged
            if isinstance(facts, dict) and type(facts.get("format")) is int and facts["format"] != FORMAT:
                raise UserError(f"{file} was saved by another version of resnet_cifar, and this one cannot resume it.")
            decode.build(_Facts, facts, f"the state in {file}")
            self._check(tensors, facts)
        except UserError as error:
            raise UserError(f"{error} {self._advice()}") from error
        return tensors, facts

    def _check(self, tensors: Weights, facts: dict[str, Any]) -> None:
        """Raise UserError if a state does not fit the recipe or the record."""
        position, stages = facts["position"], self._recipe.stages
        stage = position["stage"]
        if stage > len(stages) or position["epoch"] > (stages[stage].epochs if stage < len(stages) else 0):
            raise UserError(f"{self._run.last_file} is past the end of {self._run.recipe_file.name}: {position}.")
        with torch.device("meta"):  # names and shapes without memory
            outline = ResNet(self._recipe.arch, self._recipe.stem, len(self._recipe.dataset.labels))
        for name in ("model", "best") if facts["best"] is not None else ("model",):
            check_fit(outline, tensors_under(name, tensors), f"{self._run.last_file}: {name}")
        size = facts["metrics_bytes"]
        there, tail = self._tail(size)
        if there < size or (tail != facts.get("metrics_tail", tail)):
            raise UserError(
                f"{self._run.metrics_file} is not what it was at the last save: its first {size:,} bytes were changed "
                f"or lost ({there:,} bytes are there)."
            )

    def _tail(self, size: int) -> tuple[int, str]:
        """Size of the record, and the digest of its last lines before byte `size`."""
        file, start = self._run.metrics_file, max(0, size - _TAIL)
        try:
            there, content = file.stat().st_size, files.read_bytes(file, sys.maxsize, start)
        except FileNotFoundError:
            return 0, ""
        except OSError as error:
            raise files.cannot_read(file, error) from error
        return there, hashlib.sha256(content[: size - start]).hexdigest()

    def _advice(self) -> str:
        """What can be done about a run that cannot be resumed."""
        weights = f" --init {self._run.handle}" if (self._run.path / MODEL).exists() else ""
        return (
            f"The run stays as it is; put back a copy of the file, or start a new run with "
            f"--recipe {self._run.recipe_file}{weights}."
        )

    def restore(self, training: Training, tensors: Weights, facts: dict[str, Any]) -> None:
        """Restore the state that `read` returned. Raises UserError if it is of another recipe."""
        try:
            training.restore(tensors, facts)
        except (KeyError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{self._run.last_file} does not fit {self._run.recipe_file.name}: {error}. {self._advice()}"
            ) from error

    def write(self, tensors: Weights, facts: dict[str, Any], normalization: Normalization) -> None:
        """Write the state of a run, with the size of metrics.jsonl that it belongs to and a digest of its end."""
        size = self._run.flush()  # the record first: a save must never be ahead of it
        facts = facts | {
            "format": FORMAT,
            "metrics_bytes": size,
            "metrics_tail": self._tail(size)[1],
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
        # `is`: a better epoch makes a new Best, and comparing its tensors would take longer than most saves
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
