"""How much memory a run says that it will need, and how much it then has at its peak.

    python benchmarks/memory.py [--device auto]

Short runs in processes of their own, of CIFAR-100 where CIFAR100_DIR says where it is.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

APP = Path(__file__).resolve().parent.parent / "app.py"
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
    """Run them and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    print("told      at its peak  ratio  run")
    for run in RUNS:
        told, peak = measure(run, args.device)
        print(f"{told:4.1f} GiB  {peak:7.1f} GiB  {told / peak:5.2f}  {run}", flush=True)


def measure(flags: str, device: str) -> tuple[float, float]:
    """What one run says, before and after, in GiB."""
    data = "cifar100" if os.environ.get("CIFAR100_DIR") else "synthetic"
    short = f"--train-only --epochs 1 --train-images 1024 --val-images 500 --device {device} --data {data}"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(APP), *short.split(), *flags.split(), "--run", f"{folder}/run"]
        done = subprocess.run(command, capture_output=True, text=True)
    told = re.search(r"needs about ([\d.]+) GiB", done.stdout)
    peak = re.search(r"with ([\d.]+) GiB of memory at most", done.stdout)
    if not told or not peak:
        raise SystemExit(f"{flags} told nothing:\n{done.stdout}{done.stderr}")
    return float(told[1]), float(peak[1])


if __name__ == "__main__":
    main()
