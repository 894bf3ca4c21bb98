"""What each lever of a training step is worth: images a second with it pulled the other way, as a ratio to ours.

    python benchmarks/levers.py [--image-size 64] [--stem stock] [--batch-size 128] [--steps 4] [--pairs 5] [LEVER ...]

Each lever takes turns with the step as it is, not compiled, in one process; told is the median of the pairs, for what
is compiled also what its first steps took. A ratio under 1 is what would be lost without the lever; for `compile`, with
CUDA graphs too, for the batch sizes and for `deterministic off`, one over 1 is what would be won with it.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

sys.path.pop(0)  # this folder, whose profile.py is not the one that torch looks for
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.throughput import WARMUP, Ours, images, images_per_second
from resnet_cifar.engine import compile as compiling
from resnet_cifar.model.freezing import parameter_groups
from resnet_cifar.system.device import choose_device, choose_precision, describe, prepare

Change = Callable[[argparse.Namespace, Ours], None]


def _plain_layout(_: argparse.Namespace, ours: Ours) -> None:
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


def _any_kernel(_: argparse.Namespace, ours: Ours) -> None:
    """Convolutions by whatever is fastest here, the same from run to run or not."""
    steps = ours.steps()

    def freely() -> Iterator[None]:
        while True:
            with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False):
                next(steps)
            yield

    ours.steps = freely  # type: ignore[method-assign]


def _as_it_is(_: argparse.Namespace, ours: Ours) -> None:
    """The same once more: how far two equal things differ here."""


LEVERS: dict[str, tuple[Change, float]] = {
    "nothing": (_as_it_is, 1),
    "channels_last off": (_plain_layout, 1),
    "bf16 off": (_fp32, 1),
    "fused SGD off": (_separate_updates, 1),
    "deterministic off": (_any_kernel, 1),
    "half the batch": (_as_it_is, 0.5),
    "twice the batch": (_as_it_is, 2),
    "compile": (_compile, 1),
    "compile, graphs": (_cuda_graphs, 1),
}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("lever", nargs="*", help=f"all of {', '.join(LEVERS)}, unless named")
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
    compiling._WORTH = math.inf  # so that the levers are pulled one at a time
    ours = Ours(split, args.image_size, args, device, precision)
    print("lever              ours           with it        ratio")
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
    """The arguments with another number of steps."""
    return argparse.Namespace(**vars(args) | {"steps": steps})


if __name__ == "__main__":
    main()
