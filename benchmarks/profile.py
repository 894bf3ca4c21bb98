"""Time of a training step by kind of operation, and its throughput as a fraction of the device's ceiling.

    python benchmarks/profile.py [--image-size 64] [--stem stock] [--batch-size 128] [--steps 4] [--device auto]

Times come from torch.profiler and are those of the device that does the work. The ceiling is the measured rate of a
large matrix product in the same precision, divided by 2 x 3 x MACs per image: a MAC is two operations, and the backward
pass costs twice the forward pass. If a GPU is busy for less than 100 % of a step, it waited for the host.
"""

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.throughput import WARMUP, Ours, images
from resnet_cifar.recipe.cost import forward_macs
from resnet_cifar.system.device import choose_device, choose_precision, describe, prepare, wait_for

KINDS = {  # an operation is of the first kind that has one of its words
    "fused by torch.compile": ("triton", "cpp_fused"),
    "BatchNorm": ("batch_norm", "batchnorm", "bn_"),
    "pooling": ("pool",),
    "casts and copies": ("copy", "convert", "nchw", "nhwcto", "memcpy", "memset", "fill", "zero"),
    "convolution": ("conv", "xmma", "gemm", "nvjet", "cutlass", "sm90", "sm80", "wgrad", "dgrad", "fprop", "addmm"),
    "optimizer and EMA": ("sgd", "_foreach", "lerp", "multi_tensor"),
    "images": ("index", "upsample", "gather", "random", "where", "uint8"),
    "ReLU and sums": ("relu", "threshold", "clamp", "add", "elementwise"),
}


def matrix_rate(device: torch.device, precision: str, side: int) -> float:
    """Measure operations per second of a square matrix product: the best of several."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(6):
        wait_for(device)
        began = time.perf_counter()
        for _ in range(4):
            a @ b
        wait_for(device)
        best = max(best, 4 * 2 * side**3 / (time.perf_counter() - began))
    return best


def by_kind(events: Any, on_gpu: bool) -> dict[str, float]:
    """Sum the device's own seconds by kind of operation."""
    seconds: dict[str, float] = defaultdict(float)
    for event in events:
        if on_gpu and (event.device_type.name != "CUDA" or event.is_user_annotation):
            continue  # host operations and annotations repeat the time of their kernels
        spent = (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e6
        name = event.key.lower()
        kind = next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other")
        seconds[kind] += spent
    return seconds


def main() -> None:
    """Profile and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--stem", choices=("stock", "cifar"), default="stock")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = choose_device(args.device)
    prepare(device)
    precision, on_gpu = choose_precision("auto", device), device.type == "cuda"
    ours = Ours(images((WARMUP + args.steps) * args.batch_size), args.image_size, args, device, precision)
    steps = ours.steps()
    for _ in range(WARMUP):
        next(steps)
    wait_for(device)
    began = time.perf_counter()
    for _ in range(args.steps):
        next(steps)
    wait_for(device)
    wall = (time.perf_counter() - began) / args.steps
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiled:
        for _ in range(args.steps):
            next(steps)
        wait_for(device)
    kinds = by_kind(profiled.key_averages(), on_gpu)
    busy = sum(kinds.values()) / args.steps

    shape = f"{args.image_size} px, {args.stem} stem, batch {args.batch_size}"
    print(f"{describe(device)} in {precision}, torch {torch.__version__}, {shape}")
    print(f"a step takes {wall * 1e3:.1f} ms, {args.batch_size / wall:,.0f} images/s; under the profiler:")
    for kind, seconds in sorted(kinds.items(), key=lambda item: -item[1]):
        print(f"  {kind:22} {seconds / args.steps * 1e3:8.2f} ms  {seconds / args.steps / busy:6.1%}")
    if on_gpu:
        print(f"  the GPU was busy for {busy / wall:.1%} of a step")
    rate = matrix_rate(device, precision, 8192 if on_gpu else 2048)
    macs = sum(forward_macs("resnet34", args.stem, args.image_size, 100).values())
    ceiling = rate / (2 * 3 * macs)
    print(
        f"matrix products run at {rate / 1e12:.2f} TFLOP/s; at that rate {ceiling:,.0f} images/s would be the ceiling,"
    )
    print(f"of which this step reaches {args.batch_size / wall / ceiling:.1%}")


if __name__ == "__main__":
    main()
