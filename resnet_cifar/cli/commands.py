"""What each command does that neither trains nor serves; each gives an exit code."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_cifar.errors import UserError
from resnet_cifar.events import RunResumed, RunStarted
from resnet_cifar.recipe.limits import check_range
from resnet_cifar.runs.run_dir import RunDir, locate

if TYPE_CHECKING:
    from resnet_cifar.hub.push import Plan


def list_recipes(_: argparse.Namespace) -> int:
    """Show what can be trained."""
    from resnet_cifar.report.text import recipe_lines

    print(recipe_lines())
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """Test a checkpoint and say how good it is; on val, with the images that its recipe cut from train."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.data.dataset import load, official_splits
    from resnet_cifar.data.preprocess import Preprocess
    from resnet_cifar.engine.evaluate import test
    from resnet_cifar.events import Metrics
    from resnet_cifar.model.checkpoint import load_checkpoint
    from resnet_cifar.report.text import metrics_line
    from resnet_cifar.system.device import choose_device, choose_precision, prepare, runs_in

    device = choose_device(args.device)
    prepare(device)
    run = RunDir(locate(args.evaluate))
    recipe = run.recipe() if run.recipe_file.exists() else None
    precision = choose_precision(args.precision or (recipe.precision if recipe else "auto"), device)
    model, config = load_checkpoint(run.path, device)
    data, folder = args.data or (recipe.data if recipe else "cifar100"), data_folder(args) or earlier_data_folder(run)
    if args.split == "val":
        if recipe is None or not recipe.val_images or recipe.data != data:
            raise UserError(f"{run.name!r} has no val images of {data}; leave --split val out.")
        split = watch(load(recipe, folder, device)).val
    else:
        split = watch(official_splits(data, folder))[1].to(device)
    if config.labels != split.spec.labels:
        raise UserError(
            f"{run.name!r} knows other classes ({config.labels[0]}, ...; {len(config.labels)} in all) than {data} has; "
            "it can only be evaluated on the data it was trained on."
        )
    size = args.image_size or config.image_size
    check_range("--image-size", size, 16, 512)
    preprocess = Preprocess(size, config.normalization, device)
    summary = watch(test(model, split, preprocess, runs_in(device, precision), mirrored=args.tta))
    metrics = Metrics(loss=summary["loss"], top1=summary["top1"], top5=summary["top5"])
    print(metrics_line(args.split or "test", metrics, summary["coarse_top1"]))
    views = ", mirror images too" if args.tta else ""
    print(f"on {len(split):,} images at {size} px{views}, {device} in {precision}")
    return 0


def classify(args: argparse.Namespace) -> int:
    """Say what is in each image; those that can't be read are told of, and the rest answered."""
    from resnet_cifar.data.images import decode
    from resnet_cifar.hub.catalog import load_classifier
    from resnet_cifar.report.text import prediction_lines

    classifier = load_classifier(args.run, args.device)
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


def export(args: argparse.Namespace) -> int:
    """Write a checkpoint's weights as ONNX too."""
    export_run(_chosen(args.run))
    return 0


def export_run(run: RunDir) -> None:
    """Write a run's weights as ONNX too."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.model.export import ONNX, export_onnx

    difference = watch(export_onnx(run.path, run.path / ONNX))
    print(f"{run.path / ONNX}; its logits differ by {difference:.1e} at most")


def push(args: argparse.Namespace) -> int:
    """Upload a run, or show what would be uploaded."""
    if args.repo is None:
        raise UserError("--push needs --repo USER/NAME: where to upload the run to.")
    run = RunDir.open(locate(args.push))
    if args.dry_run:
        from resnet_cifar.hub.push import plan

        planned = plan(run, args.repo, args.public, args.export is not None)
        print(planned.card)
        _show(planned)
    else:
        upload(run, args.repo, args)
    return 0


def deploy(args: argparse.Namespace) -> int:
    """Make or update a Space."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.hub.space import deploy, plan_app

    run = _chosen(args.run)
    if args.dry_run:
        _show(plan_app(run, args.deploy_space, args.public))
        return 0
    print(f"the Space with {run.name} is at {watch(deploy(run, args.deploy_space, public=args.public))}")
    return 0


def _chosen(run: str | None) -> RunDir:
    """The run that is named, or else the one that answers by default."""
    from resnet_cifar.hub.catalog import default_checkpoint

    return RunDir(locate(run) if run else default_checkpoint())


def _show(planned: "Plan") -> None:
    print(f"{'public' if planned.public else 'private, if it is new'}: {planned.repo}")
    for name, size in planned.files.items():
        print(f"{size:>12,}  {name}")


def upload(run: RunDir, repo: str, args: argparse.Namespace) -> None:
    """Push a run, and say where it is."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.hub.push import push

    onnx = args.export is not None
    print(f"it is at {watch(push(run, repo, public=args.public, create_pr=args.create_pr, onnx=onnx))}")


def data_folder(args: argparse.Namespace) -> Path | None:
    """Where the data is said to be."""
    named = args.data_dir or os.environ.get("CIFAR100_DIR")
    return Path(os.path.expanduser(named)).resolve() if named else None


def earlier_data_folder(run: RunDir) -> Path | None:
    """Where a run found its data before."""
    begun = [event for event, _ in run.history() if isinstance(event, RunStarted | RunResumed)]
    return Path(begun[-1].data_dir) if begun and begun[-1].data_dir else None
