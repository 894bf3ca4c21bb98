"""Train the model that ships with the project: several seeds of `scratch` on all 50,000 train images.

    python benchmarks/final.py OUT [--seeds 0 1 2] [--runs checkpoints] [other flags of app.py, such as --epochs 300]

Needs CIFAR100_DIR. No choice is made between the seeds: seed 0 ships, whatever the others reach. It is packed into
small parts in OUT; unpack with `cat OUT/resnet34-cifar100.tar.* | tar -x`. After an interruption, run the same command
again: completed work is not repeated.
"""

import argparse
import contextlib
import io
import shutil
import sys
import tarfile
from pathlib import Path

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ship import ship
from resnet_cifar.cli import main as cli
from resnet_cifar.paths import CHECKPOINTS
from resnet_cifar.runs.run_dir import RunDir

NAME = "resnet34-cifar100"
PART = 15 * 2**20  # bytes


def main() -> None:
    """Train, test and pack."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=CHECKPOINTS)
    parser.add_argument("--device", default="auto")
    args, others = parser.parse_known_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        run = RunDir(args.runs.resolve() / f"final-{seed}")
        train(run, [f"--seed={seed}", *others], args.device)
        measure(run, args)
        if seed == 0:
            target = RunDir(run.path.with_name(NAME))
            if not target.path.exists():
                print(ship(run, target, args.device))
            measure(target, args)
            pack(target.path, args.out)


def train(run: RunDir, flags: list[str], device: str) -> None:
    """Start the run, or resume it after an interruption."""
    if run.recipe_file.exists() and run.status() == "completed":
        return
    if run.recipe_file.exists():
        flags = [f"--resume={run.path}"]
    else:
        shutil.rmtree(run.path, ignore_errors=True)  # interrupted before its recipe was written
        flags = ["--recipe=scratch", "--val-images=0", f"--run={run.path}", *flags]
    if code := cli.main(["--train-only", f"--device={device}", *flags]):
        sys.exit(code)


def measure(run: RunDir, args: argparse.Namespace) -> None:
    """Evaluate the run without and with test-time augmentation; append the output to OUT/results.txt."""
    for views in ([], ["--tta"]):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            code = cli.main([f"--evaluate={run.path}", f"--device={args.device}", *views])
        print(f"{run.name}\n{output.getvalue()}", flush=True)
        if code:
            sys.exit(code)
        with (args.out / "results.txt").open("a", encoding="utf-8") as results:
            results.write(f"{run.name}\n{output.getvalue()}")


def pack(folder: Path, out: Path) -> None:
    """Pack a folder as a tar file in parts."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder, folder.name)
    content = packed.getvalue()
    for number, start in enumerate(range(0, len(content), PART)):
        (out / f"{NAME}.tar.{number}").write_bytes(content[start : start + PART])


if __name__ == "__main__":
    main()
