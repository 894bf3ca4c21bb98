"""Images per second of a training step, end to end: this project against the plain loop of most tutorials.

    python benchmarks/throughput.py [--image-size 224 ...] [--batch-size 128] [--steps 2] [--pairs 3] [--device auto]

The plain loop uses torchvision's ResNet-34, PIL transforms in a DataLoader with one worker per core, fp32 (on a GPU
torch runs convolutions in TF32) and nondeterministic kernels; this project's kernels are deterministic. Both train all
layers on the same randomly flipped images with the same optimizer. They take turns in one process and the result is the
median over pairs, because the speed of a shared machine varies.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from resnet_cifar.cli.terminal import watch
from resnet_cifar.data.dataset import official_splits
from resnet_cifar.data.preprocess import CIFAR100
from resnet_cifar.data.split import Dataset, Split
from resnet_cifar.engine import loop
from resnet_cifar.engine.state import Training
from resnet_cifar.events import Progress
from resnet_cifar.model.initial import Start, build
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.config import Recipe, Stage
from resnet_cifar.system.device import choose_device, choose_precision, describe, prepare

WARMUP = 2  # steps before the clock starts


class PlainImages(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """CIFAR-100 as a typical map-style data set: one PIL image at a time."""

    def __init__(self, split: Split, image_size: int) -> None:
        self.images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in split.images]
        self.labels = split.labels.tolist()
        self.transform = torchvision.transforms.Compose(
            [
                torchvision.transforms.Resize(image_size),
                torchvision.transforms.RandomHorizontalFlip(),
                torchvision.transforms.ToTensor(),
                torchvision.transforms.Normalize(CIFAR100.mean, CIFAR100.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


class Plain:
    """The plain loop."""

    def __init__(self, split: Split, image_size: int, args: argparse.Namespace, device: torch.device) -> None:
        images = PlainImages(split, image_size)
        self.loader = DataLoader(
            images, args.batch_size, shuffle=True, num_workers=os.cpu_count() or 1, pin_memory=device.type == "cuda"
        )
        self.device = device
        self.model = torchvision.models.resnet34(num_classes=100).to(device)
        if args.stem == "cifar":
            self.model.conv1, self.model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
            self.model.to(device)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
        )

    def steps(self) -> Iterator[None]:
        """Train, and yield after every step."""
        for images, labels in self.loader:
            torch.backends.cudnn.deterministic = False  # as in tutorials; this project sets it
            loss = nn.functional.cross_entropy(self.model(images.to(self.device)), labels.to(self.device))
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            torch.backends.cudnn.deterministic = True
            yield


class Ours:
    """The loop of this project, with one stage that trains all layers."""

    def __init__(
        self, split: Split, image_size: int, args: argparse.Namespace, device: torch.device, precision: str
    ) -> None:
        stage = Stage(
            name="all",
            epochs=10_000,
            lr=0.01,
            batch_size=args.batch_size,
            image_size=image_size,
            augmentation=AUGMENTATIONS["flip"],
        )
        recipe = Recipe(name="throughput", stages=(stage,), stem=args.stem, val_images=0, log_every=50)
        model = build(recipe, Start(None, CIFAR100, "")).to(device)
        here, nothing = split.to(device), split.take(torch.tensor([], dtype=torch.long)).to(device)
        self.training = Training(model, recipe, device, precision)
        self.events = loop.train(self.training, Dataset(here, nothing, nothing), CIFAR100)

    def steps(self) -> Iterator[None]:
        """Train, and yield after every step."""
        for event in self.events:
            if isinstance(event, Progress) and event.phase == "train":
                yield


def images(count: int) -> Split:
    """Load the first images of train if CIFAR100_DIR is set, else synthetic ones."""
    data_dir = os.environ.get("CIFAR100_DIR")
    train, _ = watch(official_splits("cifar100" if data_dir else "synthetic", Path(data_dir or ".")))
    return train.take(torch.arange(count) % len(train))


def images_per_second(side: Plain | Ours, args: argparse.Namespace, device: torch.device) -> float:
    """Measure the throughput over some steps, after warm-up steps."""
    steps = side.steps()
    for _ in range(WARMUP):
        next(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(args.steps):
        next(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return args.steps * args.batch_size / (time.perf_counter() - began)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image-size", type=int, nargs="+", default=[224])
    parser.add_argument("--stem", choices=("stock", "cifar"), default="stock")
    parser.add_argument("--batch-size", type=int, default=128, help="default: 128, as in the recipe transfer")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = choose_device(args.device)
    prepare(device)
    precision = choose_precision("auto", device)
    split = images((WARMUP + args.steps) * args.batch_size)
    print(f"{describe(device)}, torch {torch.__version__}, {args.stem} stem, batch {args.batch_size}")
    print("size  pair  plain loop, fp32  ours,", precision, "  ratio")
    for size in args.image_size:
        plain, ours = Plain(split, size, args, device), Ours(split, size, args, device, precision)
        rates = []
        for pair in range(args.pairs):
            slow, fast = images_per_second(plain, args, device), images_per_second(ours, args, device)
            rates.append((slow, fast, fast / slow))
            print(f"{size:4}  {pair + 1:4}  {slow:9.1f} img/s  {fast:9.1f} img/s  {fast / slow:.2f}", flush=True)
        slow, fast, ratio = map(statistics.median, zip(*rates, strict=True))
        print(f"{size:4}  median {slow:8.1f} img/s  {fast:9.1f} img/s  {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
