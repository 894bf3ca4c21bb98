"""Usable checkpoints: those in a folder, by name or path, or on the Hub."""

import os
from functools import lru_cache
from pathlib import Path

import torch

from resnet_cifar.decode import is_plain
from resnet_cifar.errors import UserError
from resnet_cifar.hub.pull import pull, repo_of
from resnet_cifar.model.checkpoint import CONFIG, MODEL, check_fit, read_config
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.model.tensors import read_shapes
from resnet_cifar.paths import CHECKPOINTS, ROOT
from resnet_cifar.runs.run_dir import locate
from resnet_cifar.system import files

SHIPPED = "resnet34-cifar100"
MARKER = ".resnet_cifar-space"
"""File by which a Space deployed from here is recognized; its last line names the run that was deployed."""
_LARGEST_MARKER = 1000  # bytes

_META = torch.device("meta")  # its tensors have shapes and no values

_Stamp = tuple[int, int]  # modification time in ns and size of a file; (0, 0) if it is missing


def deployed_run(folder: Path = ROOT) -> str:
    """Return the name of the run that this Space was deployed with, and has again after each restart; '' elsewhere."""
    try:
        return files.read_text(folder / MARKER, _LARGEST_MARKER).splitlines()[-1]
    except (OSError, IndexError):
        return ""


@lru_cache(maxsize=1)
def fixed_runs() -> frozenset[str]:
    """Name the runs that cannot be changed: the one that ships with the project, and a Space's `deployed_run`."""
    return frozenset({SHIPPED, deployed_run()} - {""})


def checkpoints_in(root: Path) -> list[Path]:
    """List the usable checkpoint folders under `root`: the model that ships with the project first, then the newest."""
    written = {folder: weights[0] for folder, weights, config in _found(root) if not _fault(folder, weights, config)}
    return sorted(written, key=lambda folder: (folder.name != SHIPPED, -written[folder]))


def unusable_in(root: Path) -> dict[str, str]:
    """List the unusable checkpoint folders under `root`, with what is wrong. A run without weights yet is no fault."""
    faults = {folder.name: _fault(folder, weights, config) for folder, weights, config in _found(root)}
    return {name: fault for name, fault in sorted(faults.items()) if fault}


def default_checkpoint() -> Path:
    """Return the first of `checkpoints_in`. Raises UserError where there is none."""
    folders = checkpoints_in(CHECKPOINTS)
    if not folders:
        unusable = "".join(f" {name} can't be used: {fault}" for name, fault in unusable_in(CHECKPOINTS).items())
        raise UserError(
            f"there is no checkpoint in {CHECKPOINTS} yet; train one with --train-only, or choose one with --run."
            f"{unusable}"
        )
    return folders[0]


def load_classifier(where: str | None = None, device: str = "auto") -> Classifier:
    """Load a run by name or path, or a repo of the Hugging Face Hub by USER/NAME[@REVISION]; None: the default.

    Raises UserError where it is missing or damaged.
    """
    return Classifier.load(_folder(where), device)


def _folder(where: str | None) -> Path:
    if where is None:
        return default_checkpoint()
    repo = None if os.path.lexists(where) else repo_of(where)
    return pull(*repo) if repo else locate(where)


def _found(root: Path) -> list[tuple[Path, _Stamp, _Stamp]]:
    """List the folders with weights or a config, each with the stamps of these two files."""
    folders = {file.parent for name in (MODEL, CONFIG) for file in root.glob(f"*/{name}")}
    folders = {folder for folder in folders if is_plain(folder.name)}
    return [(folder, _stamp(folder / MODEL), _stamp(folder / CONFIG)) for folder in folders]


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1024)
def _fault(folder: Path, _weights: _Stamp, _config: _Stamp) -> str:
    """Describe what is wrong with a checkpoint; '' if nothing is.

    Checks the config and the names and shapes of the tensors; their values only `load_checkpoint` reads. The stamps are
    part of the cache's key, so a file is checked again after it has changed.
    """
    for name in (MODEL, CONFIG):
        if not (folder / name).is_file():
            return f"{name} is missing."
    try:
        config = read_config(folder)
        check_fit(_outline(config.arch, config.stem, len(config.labels)), read_shapes(folder / MODEL), MODEL)
    except UserError as error:
        return str(error).replace(f"{folder}/", "")  # no local paths: the page may be public
    return ""


@lru_cache(maxsize=8)
def _outline(arch: str, stem: str, num_classes: int) -> ResNet:
    """Build a network without values, to compare tensor shapes with."""
    with _META:
        return ResNet(arch, stem, num_classes)
