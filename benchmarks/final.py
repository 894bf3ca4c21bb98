"""Train the model that ships, from start to end: seeds of `scratch` on all 50,000 train images, with nothing chosen.

    python benchmarks/final.py OUT [--seeds 0 1 2] [--runs checkpoints] [what else app.py takes, as --epochs 300]

With CIFAR100_DIR set. Seed 0's is the one that ships, whatever the others do, in parts under OUT that are small enough
to carry: `cat OUT/resnet34-cifar100.tar.* | tar -x`. Start it again after a cut: what is done is not done again.
"""

import argparse
import contextlib
import io
import shutil
import sys
import tarfile
from pathlib import Path

sys.path.pop(0)  # this folder, whose profile.py is not the one that torch looks for
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ship import ship
from resnet_cifar.cli import main as cli
from resnet_cifar.paths import CHECKPOINTS
from resnet_cifar.runs.run_dir import RunDir

NAME = "resnet34-cifar100"
PART = 15 * 2**20  # bytes


def main() -> None:
    """Train, test, ship."""
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
    """From the beginning, or from where it was cut off."""
    if run.recipe_file.exists() and run.status() == "completed":
        return
    if run.recipe_file.exists():
        what = [f"--resume={run.path}"]
    else:
        shutil.rmtree(run.path, ignore_errors=True)  # cut off before it had begun
        what = ["--recipe=scratch", "--val-images=0", f"--run={run.path}", *flags]
    if code := cli.main(["--train-only", f"--device={device}", *what]):
        sys.exit(code)


def measure(run: RunDir, args: argparse.Namespace) -> None:
    """Test it, without and with test-time augmentation; into OUT/results.txt."""
    for views in ([], ["--tta"]):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = cli.main([f"--evaluate={run.path}", f"--device={args.device}", *views])
        print(f"{run.name}\n{said.getvalue()}", flush=True)
        if code:
            sys.exit(code)
        with (args.out / "results.txt").open("a", encoding="utf-8") as results:
            results.write(f"{run.name}\n{said.getvalue()}")


def pack(folder: Path, out: Path) -> None:
    """The folder as a tar in parts."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder, folder.name)
    content = packed.getvalue()
    for number, start in enumerate(range(0, len(content), PART)):
        (out / f"{NAME}.tar.{number}").write_bytes(content[start : start + PART])


if __name__ == "__main__":
    main()
