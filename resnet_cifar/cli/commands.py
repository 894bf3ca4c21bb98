"""Commands other than training; each returns an exit code."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_cifar.cli.chosen import chosen_run, data_folder
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.limits import check_range
from resnet_cifar.runs.run_dir import RunDir, locate
from resnet_cifar.system.imports import uncollected

if TYPE_CHECKING:
    import torch

    from resnet_cifar.hub.push import Plan


def list_recipes(_: argparse.Namespace) -> int:
    """Print the recipes and their stages."""
    from resnet_cifar.report.text import recipe_lines

    print(recipe_lines())
    return 0


def list_runs(_: argparse.Namespace) -> int:
    """Print the runs in `checkpoints/`, the newest first."""
    from resnet_cifar.paths import CHECKPOINTS
    from resnet_cifar.report.text import percent, table
    from resnet_cifar.runs.record import Records
    from resnet_cifar.runs.status import state

    records, rows = Records(CHECKPOINTS), []
    for name in records.names():
        try:
            now = state(records.get(name))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            continue
        best = percent(now.best_val_top1) if now.best_val_top1 is not None else "-"
        test = percent(now.test.top1) if now.test is not None else "-"
        rows.append((now.name, now.recipe, now.status, f"{now.epochs_done}/{now.epochs_planned}", best, test))
    columns = ("run", "recipe", "status", "epochs", "best val top-1", "test top-1")
    print(table(columns, rows) if rows else f"no runs in {CHECKPOINTS}; start one with --train-only")
    return 0


def open_page(args: argparse.Namespace) -> int:
    """Open the page."""
    from resnet_cifar.paths import CHECKPOINTS

    with uncollected():
        from resnet_cifar.ui.page import serve

    host = args.host or ("0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1")
    serve(CHECKPOINTS, host, args.port, share=args.share, auth=_login(args), read_only=args.read_only)
    return 0


def _login(args: argparse.Namespace) -> tuple[str, str] | None:
    """User and password that the page asks for."""
    named = args.auth or os.environ.get("RESNET_CIFAR_AUTH")
    if not named:
        return None
    user, _, password = named.partition(":")
    if not user or not password:
        raise UserError("--auth, or RESNET_CIFAR_AUTH, must be USER:PASSWORD, with neither of them empty.")
    return user, password


def evaluate(args: argparse.Namespace) -> int:
    """Evaluate a checkpoint on test, or on the images that its recipe cut from train as val.

    At the checkpoint's own image size and without mirror images, the predictions are stored for the page.
    """
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.events import Metrics
    from resnet_cifar.inspection.predictions import compute, data_of, precision_of
    from resnet_cifar.model.checkpoint import read_config
    from resnet_cifar.report.text import metrics_line
    from resnet_cifar.system.device import choose_device

    device, run, folder = choose_device(args.device), RunDir(locate(args.evaluate)), data_folder(args)
    own_size = read_config(run.path).image_size
    size = args.image_size or own_size
    check_range("--image-size", size, 16, 512)
    precision = precision_of(run, device, args.precision)
    if size == own_size and not args.tta and args.data in (None, data_of(run)):
        summary = watch(compute(run, args.split, folder, device, precision)).summary()
    else:
        summary = _evaluate_otherwise(args, run, folder, device, precision, size)
    metrics = Metrics(loss=summary["loss"], top1=summary["top1"], top5=summary["top5"])
    # Mirror images change the confidences, and nothing but this command uses them, so they are not calibrated.
    print(metrics_line(args.split, metrics, summary["coarse_top1"], None if args.tta else summary["ece"]))
    views = ", mirror images too" if args.tta else ""
    print(f"on {summary['images']:,} images at {size} px{views}, {device} in {precision}")
    return 0


def _evaluate_otherwise(
    args: argparse.Namespace, run: RunDir, folder: Path | None, device: "torch.device", precision: str, size: int
) -> dict[str, Any]:
    """Evaluate on another data set, at another image size or with mirror images; nothing is stored."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.data.preprocess import Preprocess
    from resnet_cifar.engine.evaluate import test
    from resnet_cifar.inspection.predictions import load_split
    from resnet_cifar.model.calibration import IDENTITY
    from resnet_cifar.model.checkpoint import load_checkpoint
    from resnet_cifar.system.device import prepare, runs_in

    prepare(device)
    model, config = load_checkpoint(run.path, device)
    split = watch(load_split(run, args.split, folder, args.data)).to(device)
    preprocess = Preprocess(size, config.normalization, device)
    autocast, calibration = runs_in(device, precision), IDENTITY if args.tta else config.calibration
    return watch(test(model, split, preprocess, autocast, mirrored=args.tta, calibration=calibration))


def classify(args: argparse.Namespace) -> int:
    """Classify image files; report the ones that cannot be read, and go on with the rest."""
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
            known = prediction.known, len(classifier.config.labels)
            print(prediction_lines(file, prediction.probabilities, prediction.superclass, *known))
    if args.json:
        print(json.dumps(answers, indent=2))
    return code


def export(args: argparse.Namespace) -> int:
    """Write a checkpoint's weights as ONNX."""
    export_run(chosen_run(args.run))
    return 0


def export_run(run: RunDir) -> None:
    """Write a run's weights as ONNX, and print how far its logits differ."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.model.export import ONNX, export_onnx

    difference = watch(export_onnx(run.path, run.path / ONNX))
    print(f"{run.path / ONNX}; its logits differ by {difference:.1e} at most")


def push(args: argparse.Namespace) -> int:
    """Upload a run, or show what would be uploaded."""
    run = RunDir.open(locate(args.push))
    if args.dry_run:
        from resnet_cifar.hub.push import plan

        planned = plan(run, args.repo, public=args.public, create_pr=args.create_pr, onnx=args.export is not None)
        print(planned.card)
        _show(planned)
    else:
        upload(run, args.repo, args)
    return 0


def deploy(args: argparse.Namespace) -> int:
    """Make or update a Space."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.hub.space import deploy, plan_app

    run = chosen_run(args.run)
    if args.dry_run:
        _show(plan_app(run, args.deploy_space, public=args.public, hardware=args.hardware, storage=args.storage))
        print(f"hardware: {args.hardware or 'as the Space is, and ZeroGPU if it is new'}")
        return 0
    work = deploy(run, args.deploy_space, public=args.public, hardware=args.hardware, storage=args.storage)
    print(f"the Space with {run.name} is at {watch(work)}")
    return 0


def _show(planned: "Plan") -> None:
    visibility = "public" if planned.public else "private, if it is new"
    print(f"{'pull request' if planned.create_pr else visibility}: {planned.repo}")
    for name, size in planned.files.items():
        print(f"{size:>12,}  {name}")
    if planned.bucket:
        print(f"bucket for its runs, private: {planned.bucket}")


def upload(run: RunDir, repo: str, args: argparse.Namespace) -> None:
    """Upload a run, and print its address."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.hub.push import push

    onnx = args.export is not None
    print(f"it is at {watch(push(run, repo, public=args.public, create_pr=args.create_pr, onnx=onnx))}")
