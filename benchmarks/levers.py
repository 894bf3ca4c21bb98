"""Effect of each optimization of a training step: images per second with it changed, as a ratio to the default.

    python benchmarks/levers.py [--image-size 64] [--stem stock] [--batch-size 128] [--steps 4] [--pairs 5] [LEVER ...]

Each lever is one change to the training step. Changed and unchanged steps (not compiled) take turns in one process;
the result is the median over pairs, and for `compile` also the time of the first steps. For `... off`, a ratio under 1
is the loss without the optimization. For `compile`, `compile, graphs` (CUDA graphs), the batch sizes and
`deterministic off`, a ratio over 1 is a possible gain.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.throughput import WARMUP, Ours, images, images_per_second
from resnet_cifar.engine import compile as compiling
from resnet_cifar.model.freezing import parameter_groups
from resnet_cifar.system.device import choose_device, choose_precision, describe, prepare

Change = Callable[[argparse.Namespace, Ours], None]


def _contiguous_layout(_: argparse.Namespace, ours: Ours) -> None:
    model = ours.training.model.to(memory_format=torch.contiguous_format)
    model.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))


def _fp32(_: argparse.Namespace, ours: Ours) -> None:
    ours.training.autocast = nullcontext


def _separate_updates(_: argparse.Namespace, ours: Ours) -> None:
    groups = parameter_groups(ours.training.model, ours.training.stage)
    ours.training.optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, foreach=False)


def _compile(_: argparse.Namespace, ours: Ours) -> None:
    ours.training.shared_net = torch.compile(ours.training.net)  # type: ignore[assignment]


def _cuda_graphs(_: argparse.Namespace, ours: Ours) -> None:
    ours.training.shared_net = torch.compile(ours.training.net, mode="reduce-overhead")  # type: ignore[assignment]


def _nondeterministic(_: argparse.Namespace, ours: Ours) -> None:
    """Use the fastest convolution kernels, even if their results differ from run to run."""
    steps = ours.steps()

    def steps_with_any_kernel() -> Iterator[None]:
        while True:
            with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False):
                next(steps)
            yield

    ours.steps = steps_with_any_kernel  # type: ignore[method-assign]


def _no_change(_: argparse.Namespace, ours: Ours) -> None:
    """Change nothing, which shows the noise of the measurement."""


LEVERS: dict[str, tuple[Change, float]] = {
    "nothing": (_no_change, 1),
    "channels_last off": (_contiguous_layout, 1),
    "bf16 off": (_fp32, 1),
    "fused SGD off": (_separate_updates, 1),
    "deterministic off": (_nondeterministic, 1),
    "half the batch": (_no_change, 0.5),
    "twice the batch": (_no_change, 2),
    "compile": (_compile, 1),
    "compile, graphs": (_cuda_graphs, 1),
}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("lever", nargs="*", help=f"default: all of {', '.join(LEVERS)}")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--stem", choices=("stock", "cifar"), default="stock")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = choose_device(args.device)
    prepare(device)
    precision = choose_precision("auto", device)
    split = images(2 * (WARMUP + args.steps) * args.batch_size)
    shape = f"{args.image_size} px, {args.stem} stem, batch {args.batch_size}"
    print(f"{describe(device)} in {precision}, torch {torch.__version__}, {shape}")
    compiling._WORTH = math.inf  # never compile by default, so that each lever changes one thing
    ours = Ours(split, args.image_size, args, device, precision)
    print("lever              default        changed        ratio")
    for name in args.lever or LEVERS:
        change, factor = LEVERS[name]
        other_args = argparse.Namespace(**vars(args) | {"batch_size": int(args.batch_size * factor)})
        other = Ours(split, args.image_size, other_args, device, precision)
        change(other_args, other)
        began = time.perf_counter()
        images_per_second(other, replace_steps(other_args, 1), device)
        first = time.perf_counter() - began
        rates = []
        for _ in range(args.pairs):
            base, changed = images_per_second(ours, args, device), images_per_second(other, other_args, device)
            rates.append((base, changed, changed / base))
        base, changed, ratio = map(statistics.median, zip(*rates, strict=True))
        note = f"  first steps {first:.1f} s" if name.startswith("compile") else ""
        print(f"{name:17}  {base:8.1f} img/s  {changed:8.1f} img/s  {ratio:.2f}{note}", flush=True)


def replace_steps(args: argparse.Namespace, steps: int) -> argparse.Namespace:
    """Copy the arguments with a different number of steps."""
    return argparse.Namespace(**vars(args) | {"steps": steps})


if __name__ == "__main__":
    main()
