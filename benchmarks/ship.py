"""Make the folder that ships with the project from a completed run: its weights in half precision, tested as they ship.

    python benchmarks/ship.py RUN NAME      # with CIFAR100_DIR set; writes checkpoints/NAME

The test is the one that `python app.py --evaluate NAME` repeats.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

sys.path.pop(0)  # this folder, whose profile.py is not the one that torch looks for
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from resnet_cifar.card import model_card
from resnet_cifar.checkpoint import MODEL, load_checkpoint, read_tensors, write_tensors
from resnet_cifar.data import Preprocess, load_official_splits
from resnet_cifar.device import choose_device, choose_precision, runs_in
from resnet_cifar.evaluate import test
from resnet_cifar.push import staged
from resnet_cifar.run_dir import CHECKPOINTS, RunDir, locate
from resnet_cifar.tables import percent
from resnet_cifar.terminal import watch


def main() -> None:
    """Make it, and say how good it is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("name")
    args = parser.parse_args()
    source, target = RunDir(locate(args.run)), RunDir(CHECKPOINTS / args.name)
    with staged(source, f"USER/{args.name}") as folder:
        shutil.copytree(folder, target.path)
    tensors, _ = read_tensors(target.path / MODEL)
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    write_tensors(target.path / MODEL, halves)
    device = choose_device("auto")
    model, config = load_checkpoint(target.path, device)
    precision = choose_precision(source.recipe().precision, device)
    _, split = watch(load_official_splits("cifar100", Path(os.environ["CIFAR100_DIR"])))
    preprocess = Preprocess(config.image_size, config.normalization, device)
    summary = watch(test(model, split.to(device), preprocess, runs_in(device, precision)))
    target.eval_file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (target.path / "README.md").write_text(str(model_card(target, f"USER/{args.name}")), encoding="utf-8")
    size = (target.path / MODEL).stat().st_size
    print(f"{target.path}: {size / 1e6:.1f} MB, test top-1 {percent(summary['top1'])} on {device} in {precision}")


if __name__ == "__main__":
    main()
