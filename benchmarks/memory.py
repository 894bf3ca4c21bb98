"""Estimated memory of a run, as shown before it starts, against its measured peak.

    python benchmarks/memory.py [--device auto]

Each run trains two short epochs in its own process and saves every second. Uses CIFAR-100 if CIFAR100_DIR is set, else
synthetic images.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from resnet_cifar.cli.arguments import parse
from resnet_cifar.cli.chosen import recipe_from
from resnet_cifar.events import RunFailed, StepLogged
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import choose_device, prepare
from resnet_cifar.training.session import train
from resnet_cifar.training.trial import memory_needed

RUNS = (
    "--recipe quick",
    "--recipe scratch",
    "--recipe sprint",
    "--recipe small-budget",
    "--recipe small-budget --image-size 128 --batch-size 64",
    "--recipe small-budget --image-size 224 --batch-size 32",
    "--recipe transfer --init scratch --image-size 96 --batch-size 64",
)


def main() -> None:
    """Start the runs and print a table."""
    flags = argparse.ArgumentParser()
    flags.add_argument("--device", default="auto")
    flags.add_argument("--of", help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.of is not None:
        measure(args.of, args.device)
        return
    print("estimate  peak         ratio  run", flush=True)
    for run in RUNS:
        subprocess.run([sys.executable, __file__, f"--of={run}", f"--device={args.device}"], check=True)


def measure(flags: str, device_name: str) -> None:
    """Print the estimate and the peak of one run."""
    data_dir, device = os.environ.get("CIFAR100_DIR"), choose_device(device_name)
    prepare(device)
    data = "cifar100" if data_dir else "synthetic"
    short = f"--train-only --epochs 2 --train-images 512 --val-images 500 --data {data}"
    recipe = recipe_from(parse([*short.split(), *flags.split()])[1], device.type == "cuda")
    estimate, peak = memory_needed(recipe, device), 0
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir.create(Path(folder) / "run", recipe)
        for event in train(run, device=device, data_dir=Path(data_dir) if data_dir else None, save_every=1):
            if isinstance(event, StepLogged):
                peak = max(peak, event.memory or 0)
            elif isinstance(event, RunFailed):
                sys.exit(f"{flags}: {event.reason}")
    print(f"{estimate / 2**30:4.1f} GiB  {peak / 2**30:7.1f} GiB  {estimate / peak:5.2f}  {flags}", flush=True)


if __name__ == "__main__":
    main()
