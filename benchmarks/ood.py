"""How well images of none of the classes are noticed: AUROC, and the share flagged at the threshold of val.

    python benchmarks/ood.py [RUN] [--near NAME=DIR] [--far NAME=DIR] [--images N] [--show FILE]  # needs CIFAR100_DIR

Known are the test images. Without folders, the others are photographs of scikit-image (which needs
`pip install scikit-image scikit-learn`), digits of scikit-learn, noise, flat colours, text, drawings and the page's
cat. The last column of these holds ten photographs that do show one of the classes, of which none should be flagged.
OpenOOD v1.5 (Zhang et al. 2023) calls CIFAR-10 and TinyImageNet near, and MNIST, SVHN, Textures and Places365
far; give the folders of their images with --near and --far.
"""

import argparse
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from resnet_cifar.cli.terminal import watch
from resnet_cifar.data.dataset import load
from resnet_cifar.data.images import centre_square, decode
from resnet_cifar.data.preprocess import SIDE, Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.engine.unknown import auroc, outputs, threshold
from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.model.unknown import Outputs, gen, read_unknown
from resnet_cifar.paths import ROOT
from resnet_cifar.report.text import percent, table
from resnet_cifar.runs.run_dir import RunDir, locate
from resnet_cifar.system.device import choose_device, choose_precision, prepare, runs_in

# Photographs of scikit-image that show none of CIFAR-100's classes, and those that show one of them.
PHOTOGRAPHS = (
    *("brick.png", "cell.png", "chelsea.png", "chessboard_RGB.png", "coins.png", "color.png", "gravel.png"),
    *("horse.png", "hubble_deep_field.jpg", "ihc.png", "logo.png", "microaneurysms.png", "moon.png", "page.png"),
    *("phantom.png", "retina.jpg", "text.png"),
)
OF_CLASSES = (
    *("astronaut.png", "camera.png", "clock_motion.png", "coffee.png", "grass.png"),  # woman, man, clock, cup, plain
    *("motorcycle_left.png", "motorcycle_right.png", "rocket.jpg"),
)
_CANVAS = 256  # pixels per side of what is drawn
_WORDS = (
    "the",
    "model",
    "answers",
    "every",
    "image",
    "with",
    "one",
    "of",
    "its",
    "classes",
    "although",
    "never",
    "seen",
)


def photographs(_: int) -> Iterator[Image.Image]:
    """Yield photographs of scikit-image, and the page's cat."""
    yield from (decode(_skimage() / name) for name in PHOTOGRAPHS)
    yield decode(ROOT / "resnet_cifar" / "ui" / "classify" / "examples" / "cat.jpg")


def of_classes(_: int) -> Iterator[Image.Image]:
    """Yield photographs of scikit-image and scikit-learn that show one of CIFAR-100's classes."""
    import sklearn.datasets

    yield from (decode(_skimage() / name) for name in OF_CLASSES)
    folder = Path(sklearn.datasets.__file__).parent / "images"
    yield from (decode(folder / name) for name in ("china.jpg", "flower.jpg"))  # a temple: castle or house; orchid


def _skimage() -> Path:
    import skimage.data

    return Path(skimage.data.__file__).parent


def digits(count: int) -> Iterator[Image.Image]:
    """Yield scikit-learn's handwritten digits."""
    from sklearn.datasets import load_digits

    for digit in load_digits().images[:count]:
        yield Image.fromarray((digit * 255 / 16).astype(np.uint8)).convert("RGB")


def noise(count: int) -> Iterator[Image.Image]:
    """Yield noise of grains from 1 to 8 pixels."""
    generator = np.random.default_rng(0)
    for number in range(count):
        side = SIDE >> number % 4
        grains = Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8))
        yield grains.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def colours(count: int) -> Iterator[Image.Image]:
    """Yield single colours."""
    draw = random.Random(0)
    for _ in range(count):
        yield Image.new("RGB", (SIDE, SIDE), tuple(draw.randrange(256) for _ in range(3)))


def text(count: int) -> Iterator[Image.Image]:
    """Yield words, dark on light or light on dark, from two to twelve lines."""
    draw = random.Random(0)
    for _ in range(count):
        dark, light = (draw.randrange(0, 60),) * 3, (draw.randrange(200, 256),) * 3
        ink, paper = (dark, light) if draw.random() < 0.7 else (light, dark)
        image, lines = Image.new("RGB", (_CANVAS, _CANVAS), paper), draw.randint(2, 12)
        words = "\n".join(" ".join(draw.choices(_WORDS, k=8)) for _ in range(lines))
        ImageDraw.Draw(image).text((8, 8), words, ink, ImageFont.load_default(0.7 * _CANVAS / lines))
        yield image


def drawings(count: int) -> Iterator[Image.Image]:
    """Yield two to six lines, rectangles, ellipses and triangles on white."""
    draw = random.Random(0)
    for _ in range(count):
        image = Image.new("RGB", (_CANVAS, _CANVAS), "white")
        pen = ImageDraw.Draw(image)
        for _ in range(draw.randint(2, 6)):
            points = [(draw.randrange(_CANVAS), draw.randrange(_CANVAS)) for _ in range(3)]
            (x0, y0), (x1, y1) = points[:2]
            box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
            ink = tuple(draw.randrange(200) for _ in range(3))
            match draw.randrange(4):
                case 0:
                    pen.line(points, ink, 6)
                case 1:
                    pen.rectangle(box, None, ink, 6)
                case 2:
                    pen.ellipse(box, ink)
                case _:
                    pen.polygon(points, ink)
        yield image


HERE = {
    "photographs": photographs,
    "digits": digits,
    "noise": noise,
    "flat colours": colours,
    "text": text,
    "drawings": drawings,
    "of its classes": of_classes,
}


def folder(place: str) -> Callable[[int], Iterator[Image.Image]]:
    """Return what yields the images of a folder, in a random order that is always the same."""
    files = sorted(file for file in Path(place).rglob("*") if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"))
    random.Random(0).shuffle(files)
    return lambda count: (decode(file) for file in files[:count])


def main() -> None:
    """Print a table of all scores."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?", default=SHIPPED)
    parser.add_argument("--near", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--far", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--images", type=int, default=300, help="of each kind, at most (default: %(default)s)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--show", type=Path, help="write the images, as the network gets them, to FILE")
    args = parser.parse_args()
    kinds = {
        f"{kind}: {name}": folder(place) for kind in ("near", "far") for name, place in _pairs(getattr(args, kind))
    }
    images = {name: stacked(make(args.images)) for name, make in (kinds or HERE).items()}
    if args.show:
        rows = [torch.cat([*rows[:18]], 2) for rows in images.values()]
        sheet = torch.cat([torch.nn.functional.pad(row, (0, 18 * SIDE - row.shape[2])) for row in rows], 1)
        Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(args.show)
    print(measured(RunDir(locate(args.run)), images, args.device))


def _pairs(given: list[str]) -> list[tuple[str, str]]:
    return [(name, place) for name, _, place in (one.partition("=") for one in given)]


def stacked(images: Iterator[Image.Image]) -> Tensor:
    """Return (N, 3, 32, 32) uint8 central squares, as a classifier gets them."""
    small = np.stack([np.asarray(centre_square(image, SIDE)) for image in images])
    return torch.from_numpy(small).permute(0, 3, 1, 2)


def measured(run: RunDir, kinds: dict[str, Tensor], device_name: str) -> str:
    """Return a table: for each score and kind, AUROC and the share flagged; last, the share of test flagged."""
    device, recipe = choose_device(device_name), run.recipe()
    prepare(device)
    data = watch(load(recipe, Path(os.environ.get("CIFAR100_DIR", "data")), device))
    model, config = load_checkpoint(run.path, device)
    preprocess = Preprocess(config.image_size, config.normalization, device)
    autocast = runs_in(device, choose_precision(recipe.precision, device))
    unknown = read_unknown(run.path)

    def of(images: Tensor) -> Outputs:
        split = Split(images.to(device), torch.zeros(len(images), dtype=torch.long, device=device), data.val.spec)
        return watch(outputs(model, split, preprocess, autocast))

    val, test, others = of(data.val.images), of(data.test.images), {name: of(images) for name, images in kinds.items()}
    scores: dict[str, Callable[[Outputs], Tensor]] = {
        "max softmax": lambda of: of.logits.softmax(1).amax(1),
        "max logit": lambda of: of.logits.amax(1),
        "energy": lambda of: of.logits.logsumexp(1),
        "GEN": lambda of: gen(of.logits),
    }
    if unknown is not None:
        if len(unknown.bank):
            scores["k-NN"] = replace(unknown, score="knn").scores
        scores[f"in use: {unknown.score}"] = unknown.scores
    rows = []
    for name, score in scores.items():
        limit, known = threshold(score(val)), score(test)
        cells = [f"{100 * auroc(known, score(one)):.1f}, {flagged(score(one), limit)}" for one in others.values()]
        rows.append((name, *cells, flagged(known, limit)))
    return table(("score", *(f"{name} ({len(images)})" for name, images in kinds.items()), "test"), rows)


def flagged(scores: Tensor, limit: float) -> str:
    """Format the share of scores below the threshold."""
    return percent((scores < limit).double().mean().item())


if __name__ == "__main__":
    main()
