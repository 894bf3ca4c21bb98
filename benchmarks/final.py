"""Train the model that ships with the project: a teacher, then a network that learns from labels and teacher.

    python benchmarks/final.py [--runs checkpoints] [--device auto] [flags of app.py for both runs, such as --epochs 2]

Needs CIFAR100_DIR. The teacher follows `overnight` with batches of 512 images, the network `scratch`; both hold out the
same val images. The network becomes `resnet34-cifar100`, see ship.py. After an interruption, run the same command
again: completed work is not repeated.
"""

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ship import ship
from resnet_cifar.cli import main as cli
from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.paths import CHECKPOINTS
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.presets import recipe_named
from resnet_cifar.runs.run_dir import RunDir


def main() -> None:
    """Train both and build the checkpoint that ships."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--runs", type=Path, default=CHECKPOINTS)
    parser.add_argument("--device", default="auto")
    args, flags = parser.parse_known_args()
    runs, device = args.runs.resolve(), f"--device={args.device}"
    teacher, network = RunDir(runs / "teacher"), RunDir(runs / "final")
    train(teacher, [f"--recipe={teacher_file(runs)}", device, *flags], device)
    train(network, ["--recipe=scratch", f"--teacher={teacher.path}", device, *flags], device)
    print(ship(network, RunDir(runs / SHIPPED), args.device))


def teacher_recipe() -> Recipe:
    """Return `overnight` for a GPU: large batches, and more of its epochs at 128 px."""
    recipe = recipe_named("overnight")
    (stage,) = recipe.stages
    middle, last = stage.progression
    progression = (replace(middle, after=0.4), replace(last, after=0.6))
    return replace(recipe, stages=(replace(stage, epochs=150, batch_size=512, lr=0.4, progression=progression),))


def teacher_file(runs: Path) -> Path:
    """Write the teacher's recipe beside the runs."""
    runs.mkdir(parents=True, exist_ok=True)
    file = runs / "teacher.json"
    file.write_text(teacher_recipe().to_json(), encoding="utf-8")
    return file


def train(run: RunDir, flags: list[str], device: str) -> None:
    """Start the run, or resume it after an interruption."""
    if run.recipe_file.exists() and run.status() == "completed":
        return
    if run.recipe_file.exists():
        flags = [f"--resume={run.path}", device]
    else:
        shutil.rmtree(run.path, ignore_errors=True)  # interrupted before its recipe was written
        flags = [f"--run={run.path}", *flags]
    if code := cli.main(["--train-only", *flags]):
        sys.exit(code)


if __name__ == "__main__":
    main()
