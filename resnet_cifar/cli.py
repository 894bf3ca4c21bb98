"""The command line: flags to recipes, and what comes of them to exit codes.

0: done; 1: the run failed; 2: a bad request; 130 and 143: stopped by Ctrl-C, or by SIGTERM or the stop file.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_cifar.config import DATASETS, PRECISIONS, Recipe, Stage
from resnet_cifar.errors import UserError
from resnet_cifar.events import Event, RunCompleted, RunFailed, RunResumed, RunStarted, RunStopped
from resnet_cifar.recipes import RECIPES, recipe_named
from resnet_cifar.run_dir import RunDir, locate

if TYPE_CHECKING:
    import torch

_OF_RECIPE = ("data", "train_images", "val_images", "seed", "precision")
_OF_STAGES = ("batch_size", "image_size")
_NOT_FOR_RESUME = ("recipe", "run", "init", "epochs", "lr", *_OF_RECIPE, *_OF_STAGES)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    args = _parser().parse_args(argv)
    try:
        if args.list_recipes:
            from resnet_cifar.tables import recipe_lines

            print(recipe_lines())
            return 0
        if args.classify is not None:
            return _classify(args)
        return _train(args) if args.evaluate is None else _evaluate(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except RuntimeError as error:
        from resnet_cifar.device import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        print("error: out of memory; end other programs that use it, or try --device cpu.", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="app.py", description="Train ResNet-34 on CIFAR-100, in stages.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--train-only", action="store_true", help="train in this terminal")
    what.add_argument("--evaluate", metavar="RUN", help="test a run's or another checkpoint's weights")
    what.add_argument(
        "--classify", metavar="FILE", nargs="+", help="say what is in pictures; with --run, by its weights"
    )
    what.add_argument("--list-recipes", action="store_true", help="show what can be trained")
    run = parser.add_argument_group("what to train")
    run.add_argument("--recipe", metavar="NAME", help="transfer with a CUDA GPU and quick without, unless named")
    run.add_argument("--run", metavar="NAME", help="the new run's name, or path; the recipe and a number, unless named")
    run.add_argument("--resume", metavar="RUN", help="go on with a stopped, failed or interrupted run")
    run.add_argument("--init", metavar="START", help="scratch, imagenet, or a checkpoint folder, .safetensors or .pth")
    run.add_argument("--seed", type=int, metavar="N", help="what all random draws come from")
    parser.add_argument("--json", action="store_true", help="with --classify: answers as JSON")
    change = parser.add_argument_group("changes to every stage of the recipe")
    change.add_argument("--epochs", type=int, metavar="N")
    change.add_argument("--batch-size", type=int, metavar="N")
    change.add_argument("--lr", type=float, metavar="X", help="peak of the head's rate; the backbone's keeps its ratio")
    change.add_argument("--image-size", type=int, metavar="N", help="pixels a side")
    data = parser.add_argument_group("data")
    data.add_argument("--data", choices=DATASETS, help="synthetic: made on the fly, for a look without a download")
    data.add_argument("--data-dir", metavar="DIR", help="holds cifar-100-python; or CIFAR100_DIR; else it's downloaded")
    data.add_argument("--train-images", type=int, metavar="N", help="a class-balanced part of train")
    data.add_argument("--val-images", type=int, metavar="N", help="cut from train to choose with; 0: the last is kept")
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    machine.add_argument("--precision", choices=PRECISIONS)
    return parser


def _train(args: argparse.Namespace) -> int:
    """Start or resume a run and show it."""
    from resnet_cifar.device import choose_device

    device = choose_device(args.device)
    if args.resume is not None:
        run = _run_to_resume(args)
        data_dir = _data_dir(args) or _earlier_data_dir(run)
    else:
        recipe, data_dir = _recipe(args, device), _data_dir(args)
        _check(recipe, data_dir)
        run = RunDir.create_numbered(recipe) if args.run is None else RunDir.create(locate(args.run), recipe)

    from resnet_cifar.terminal import TerminalView
    from resnet_cifar.train import train

    view, last = TerminalView(run), None
    for last in train(run, device=device, data_dir=data_dir):
        view.show(last)
    return _exit_code(last)


def _recipe(args: argparse.Namespace, device: "torch.device") -> Recipe:
    """The recipe that is named, with the changes that the flags ask for."""
    if args.recipe:
        recipe = recipe_named(args.recipe)
    else:
        recipe = RECIPES["transfer" if device.type == "cuda" else "quick"]
        why = "there is a CUDA GPU" if device.type == "cuda" else "there is no CUDA GPU in use"
        print(f"recipe {recipe.name}, since {why} and no --recipe was named")
    changes = _given(args, _OF_RECIPE)
    if args.init is not None:
        changes["init"] = _start(args.init)
    if args.data == "synthetic" and args.train_images is None:
        changes["train_images"] = None  # a recipe's own number is made for CIFAR-100
    return replace(recipe, stages=tuple(_stage(stage, args) for stage in recipe.stages), **changes)


def _stage(stage: Stage, args: argparse.Namespace) -> Stage:
    changes = _given(args, _OF_STAGES)
    if args.epochs is not None:
        changes |= {"epochs": args.epochs, "warmup_epochs": stage.warmup_epochs * args.epochs / stage.epochs}
    if args.lr is not None:
        backbone_lr = None if stage.backbone_lr is None else stage.backbone_lr * args.lr / stage.lr
        changes |= {"lr": args.lr, "backbone_lr": backbone_lr}
    return replace(stage, **changes)


def _given(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _start(init: str) -> str:
    """Where weights start; a path is made absolute, since the run may be resumed from elsewhere."""
    if init in ("scratch", "imagenet"):
        return init
    path = Path(os.path.expanduser(init))
    is_name = not path.exists() and not path.suffix
    return str(locate(init) if is_name else path.resolve())


def _check(recipe: Recipe, data_dir: Path | None) -> None:
    """Refuse, before a folder is made, what can be seen now to fail later. Raises UserError."""
    from resnet_cifar.cifar100_files import find
    from resnet_cifar.weights import build, read_file

    if recipe.data == "cifar100" and data_dir is not None:
        find(data_dir)
    if recipe.init not in ("scratch", "imagenet"):
        build(recipe, read_file(Path(recipe.init)))


def _run_to_resume(args: argparse.Namespace) -> RunDir:
    given = [f"--{name.replace('_', '-')}" for name in _given(args, _NOT_FOR_RESUME)]
    if given:
        raise UserError(f"--resume goes on with the run's own recipe; leave out {', '.join(given)}.")
    return RunDir.open(locate(args.resume))


def _data_dir(args: argparse.Namespace) -> Path | None:
    named = args.data_dir or os.environ.get("CIFAR100_DIR")
    return Path(os.path.expanduser(named)).resolve() if named else None


def _earlier_data_dir(run: RunDir) -> Path | None:
    """Where a run found its data before."""
    begun = [event for event, _ in run.history() if isinstance(event, RunStarted | RunResumed)]
    return Path(begun[-1].data_dir) if begun and begun[-1].data_dir else None


def _evaluate(args: argparse.Namespace) -> int:
    """Test a checkpoint and say how good it is."""
    from resnet_cifar.checkpoint import load_checkpoint
    from resnet_cifar.data import Preprocess, load_official_splits
    from resnet_cifar.device import choose_device, choose_precision, runs_in
    from resnet_cifar.evaluate import test
    from resnet_cifar.events import Metrics
    from resnet_cifar.tables import metrics_line, percent
    from resnet_cifar.terminal import watch

    device = choose_device(args.device)
    run = RunDir(locate(args.evaluate))
    recipe = run.recipe() if run.recipe_file.exists() else None
    precision = choose_precision(args.precision or (recipe.precision if recipe else "auto"), device)
    model, config = load_checkpoint(run.path, device)
    data = args.data or (recipe.data if recipe else "cifar100")
    _, split = watch(load_official_splits(data, _data_dir(args) or _earlier_data_dir(run)))
    preprocess = Preprocess(config.image_size, config.normalization, device)
    summary = watch(test(model, split.to(device), preprocess, runs_in(device, precision)))
    metrics = Metrics(loss=summary["loss"], top1=summary["top1"], top5=summary["top5"])
    print(f"{metrics_line('test', metrics)}, superclass {percent(summary['coarse_top1'])}")
    print(f"on {len(split):,} images at {config.image_size} px, {device} in {precision}")
    return 0


def _classify(args: argparse.Namespace) -> int:
    """Say what is in each picture; those that can't be read are told of, and the rest answered."""
    from resnet_cifar.pictures import decode
    from resnet_cifar.predict import Classifier
    from resnet_cifar.tables import prediction_lines

    classifier = Classifier.load(args.run, args.device)
    answers, code = [], 0
    for file in args.classify:
        try:
            prediction = classifier.predict([decode(Path(file))])[0]
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 2
            continue
        if args.json:
            answers.append({"file": file, **prediction.as_json()})
        else:
            print(prediction_lines(file, prediction.probabilities, prediction.superclass))
    if args.json:
        print(json.dumps(answers, indent=2))
    return code


def _exit_code(last: Event | None) -> int:
    match last:
        case RunCompleted():
            return 0
        case RunStopped(by="SIGINT"):
            return 130
        case RunStopped():
            return 143
        case RunFailed(user_error=True):
            return 2
    return 1
