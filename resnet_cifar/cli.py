"""The command line: what each command does, and what comes of it as an exit code.

0: done; 1: the run failed; 2: a bad request; 130 and 143: stopped by Ctrl-C, or by SIGTERM or the stop file.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_cifar.arguments import OF_RUN, OF_TRAINING, given_flags, parser, recipe_from
from resnet_cifar.errors import UserError
from resnet_cifar.events import Event, RunCompleted, RunFailed, RunResumed, RunStarted, RunStopped
from resnet_cifar.run_dir import CHECKPOINTS, RunDir, locate

if TYPE_CHECKING:
    from resnet_cifar.push import Plan


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    args = parser().parse_args(argv)
    try:
        if args.list_recipes:
            from resnet_cifar.tables import recipe_lines

            print(recipe_lines())
            return 0
        if args.classify is not None:
            return _classify(args)
        if args.evaluate is not None:
            return _evaluate(args)
        if args.push is not None:
            return _push(args)
        if args.deploy_space is not None:
            return _deploy(args)
        return _train(args) if args.train_only else _serve(args)
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


def _train(args: argparse.Namespace) -> int:
    """Start or resume a run and show it."""
    from resnet_cifar.device import choose_device
    from resnet_cifar.terminal import TerminalView
    from resnet_cifar.train import check, train

    device = choose_device(args.device)
    if args.push_to is not None:
        _may_push(args.push_to)  # not after hours of training
    if args.resume is not None:
        run = _run_to_resume(args)
        data_dir = _data_dir(args) or _earlier_data_dir(run)
    else:
        recipe, data_dir = recipe_from(args, device.type == "cuda"), _data_dir(args)
        check(recipe, data_dir, device)
        run = RunDir.create_numbered(recipe) if args.run is None else RunDir.create(locate(args.run), recipe)

    view, last = TerminalView(run), None
    for last in train(run, device=device, data_dir=data_dir, inherited=args.inherited_locks or ()):
        view.show(last)
    if args.push_to is not None and isinstance(last, RunCompleted):
        _upload(run, args.push_to, args)
    return _exit_code(last)


def _may_push(repo: str) -> None:
    """Refuse an upload that can be seen to fail. Raises UserError."""
    from huggingface_hub import HfApi

    from resnet_cifar.push import check_rights

    check_rights(HfApi(), repo)


def _push(args: argparse.Namespace) -> int:
    """Upload a run, or show what would be uploaded."""
    if args.repo is None:
        raise UserError("--push needs --repo USER/NAME: where to upload the run to.")
    run = RunDir.open(locate(args.push))
    if args.dry_run:
        from resnet_cifar.push import plan

        planned = plan(run, args.repo, args.public)
        print(planned.card)
        _show(planned)
    else:
        _upload(run, args.repo, args)
    return 0


def _deploy(args: argparse.Namespace) -> int:
    """Make or update a Space."""
    from resnet_cifar.predict import default_checkpoint
    from resnet_cifar.space import deploy, plan_app
    from resnet_cifar.terminal import watch

    run = RunDir(locate(args.run) if args.run else default_checkpoint())
    if args.dry_run:
        _show(plan_app(run, args.deploy_space, args.public))
        return 0
    print(f"the Space with {run.name} is at {watch(deploy(run, args.deploy_space, public=args.public))}")
    return 0


def _show(planned: "Plan") -> None:
    print(f"{'public' if planned.public else 'private, if it is new'}: {planned.repo}")
    for name, size in planned.files.items():
        print(f"{size:>12,}  {name}")


def _upload(run: RunDir, repo: str, args: argparse.Namespace) -> None:
    from resnet_cifar.push import push
    from resnet_cifar.terminal import watch

    print(f"it is at {watch(push(run, repo, public=args.public, create_pr=args.create_pr))}")


def _run_to_resume(args: argparse.Namespace) -> RunDir:
    given = given_flags(args, OF_RUN)
    if given:
        raise UserError(f"--resume goes on with the run's own recipe; leave out {given}.")
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


def _serve(args: argparse.Namespace) -> int:
    """Open the page."""
    given = given_flags(args, OF_TRAINING)
    if given:
        raise UserError(f"{given} belongs to training in the terminal; add --train-only, or leave it out for the page.")
    from resnet_cifar.ui.page import serve

    host = args.host or ("0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1")
    serve(CHECKPOINTS, host, args.port, share=args.share, auth=_auth(args), read_only=args.read_only)
    return 0


def _auth(args: argparse.Namespace) -> tuple[str, str] | None:
    named = args.auth or os.environ.get("RESNET_CIFAR_AUTH")
    if not named:
        return None
    user, _, password = named.partition(":")
    if not user or not password:
        raise UserError("--auth, or RESNET_CIFAR_AUTH, must be USER:PASSWORD, with neither of them empty.")
    return user, password


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
