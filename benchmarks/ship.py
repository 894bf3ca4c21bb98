"""Build the checkpoint that ships with the project: weights in half precision, calibrated and tested again.

    python benchmarks/ship.py RUN NAME [--image-size N]     # needs CIFAR100_DIR

Writes checkpoints/NAME, completely or not at all. N is the image size to use the model at, chosen on val; default: the
run's own. The test is the same as `python app.py --evaluate NAME`; its result replaces that of the run, and the
predictions on test and val are stored with it.
"""

import argparse
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from resnet_cifar.cli.terminal import watch
from resnet_cifar.data.dataset import load
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.engine.calibration import fit_calibration
from resnet_cifar.engine.unknown import fit_unknown, outputs
from resnet_cifar.events import Metrics, RunCompleted, to_json
from resnet_cifar.hub.bundle import bundle
from resnet_cifar.hub.card import CARD, model_card
from resnet_cifar.inspection.predictions import compute, precision_of
from resnet_cifar.model.checkpoint import CONFIG, MODEL, load_checkpoint, read_config, save_checkpoint
from resnet_cifar.model.tensors import read_tensors
from resnet_cifar.model.unknown import UNKNOWN, write_unknown
from resnet_cifar.report.text import percent
from resnet_cifar.runs.run_dir import RunDir, locate
from resnet_cifar.system import files
from resnet_cifar.system.device import choose_device, prepare, runs_in


def main() -> None:
    """Build the checkpoint and print its size and test top-1."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    print(ship(RunDir(locate(args.run)), RunDir(locate(args.name)), args.device, args.image_size))


def ship(source: RunDir, target: RunDir, device_name: str, image_size: int | None = None) -> str:
    """Build `target` from `source`; returns a line with its size and test top-1."""
    device, recipe = choose_device(device_name), source.recipe()
    data = Path(os.environ.get("CIFAR100_DIR", "data"))
    draft = RunDir(target.path.with_name(f".{target.name}"))
    shutil.rmtree(draft.path, ignore_errors=True)
    with bundle(source, f"USER/{target.name}") as folder:
        shutil.copytree(folder, draft.path)
    draft.path.chmod(0o755)
    tensors, _ = read_tensors(draft.path / MODEL)
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    config = read_config(draft.path)
    save_checkpoint(draft.path, replace(config, image_size=image_size or config.image_size), halves)
    _calibrate(draft, data, device)
    summary = watch(compute(draft, "test", data, device)).summary()
    if recipe.val_images:
        watch(compute(draft, "val", data, device))
    draft.save_results(summary)
    _replace_test_results(draft, summary)
    draft.path.rename(target.path)
    (target.path / CARD).write_text(str(model_card(target, f"USER/{target.name}")), encoding="utf-8")
    size = (target.path / MODEL).stat().st_size
    precision = precision_of(target, device)
    return f"{target.path}: {size / 1e6:.1f} MB, test top-1 {percent(summary['top1'])} on {device} in {precision}"


def _calibrate(run: RunDir, data_dir: Path, device: torch.device) -> None:
    """Fit the calibration and the score of unknown images to the weights as they ship."""
    prepare(device)
    data = watch(load(run.recipe(), data_dir, device))
    model, config = load_checkpoint(run.path, device)
    how = Preprocess(config.image_size, config.normalization, device), runs_in(device, precision_of(run, device))
    of_val = watch(outputs(model, data.val, *how))
    config = replace(config, calibration=fit_calibration(of_val.logits, data.val.labels))
    files.write_text(run.path / CONFIG, config.to_json())
    (run.path / UNKNOWN).unlink(missing_ok=True)  # of the run's own weights
    unknown = watch(fit_unknown(model, data.train, data.val, of_val, *how))
    if unknown is not None:
        write_unknown(run.path, unknown)


def _replace_test_results(run: RunDir, summary: dict[str, Any]) -> None:
    """Put the test results into the run's last event."""
    *before, (completed, time) = run.history()
    assert isinstance(completed, RunCompleted)
    test = Metrics(loss=summary["loss"], top1=summary["top1"], top5=summary["top5"])
    last = replace(completed, test=test, coarse_top1=summary["coarse_top1"])
    lines = (to_json(event, when) + "\n" for event, when in (*before, (last, time)))
    run.metrics_file.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
