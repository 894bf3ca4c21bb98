"""The command line: what each command does, and what comes of it as an exit code.

0: done; 1: the run failed; 2: a bad request; 130 and 143: stopped by Ctrl-C, or by SIGTERM or the stop file.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_cifar.cli import commands
from resnet_cifar.cli.arguments import OF_RUN, OF_TRAINING, given_flags, parser, recipe_from, refuse_strays
from resnet_cifar.errors import UserError
from resnet_cifar.events import Event, RunCompleted, RunFailed, RunStopped
from resnet_cifar.paths import CHECKPOINTS
from resnet_cifar.runs.run_dir import RunDir, locate
from resnet_cifar.system.signals import ending_at_once

if TYPE_CHECKING:
    import torch

    from resnet_cifar.system.distributed import World

_BEGAN = time.monotonic()


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    try:
        args = parser().parse_args(argv)
        refuse_strays(args)
        command = _command(args)
        if command is not commands.list_recipes:
            with ending_at_once():
                import torch  # noqa: F401
        return command(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except RuntimeError as error:
        from resnet_cifar.system.device import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        print("error: out of memory; end other programs that use it, or try --device cpu.", file=sys.stderr)
        return 2


def _command(args: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    """What is asked for; the page where nothing is."""
    asked = {
        commands.list_recipes: args.list_recipes,
        _train: args.train_only,
        commands.classify: args.classify,
        commands.evaluate: args.evaluate,
        commands.push: args.push,
        commands.deploy: args.deploy_space,
        commands.export: args.export,
    }
    return next((command for command, value in asked.items() if value not in (None, False)), _serve)


def _train(args: argparse.Namespace) -> int:
    """Start or resume a run and show it."""
    from resnet_cifar.cli.terminal import TerminalView
    from resnet_cifar.system.background import is_at_work
    from resnet_cifar.system.device import choose_device, prepare
    from resnet_cifar.system.distributed import joined
    from resnet_cifar.training.session import train

    device = choose_device(args.device)
    prepare(device)
    with joined(device) as world:
        prepared = world.broadcast(_prepared(args, device, world) if world.first else None)
        if prepared is None:
            return 2  # the first process has said why
        path, data_dir = prepared
        run = RunDir(path)
        if world.size == 1 and args.inherited_locks is None:  # the page has told it before
            _tell_memory(run, device)
        view, last = TerminalView(run, _BEGAN) if world.first else None, None
        for last in train(run, device=device, data_dir=data_dir, inherited=args.inherited_locks or (), world=world):
            if view is not None:
                view.show(last)
        stuck = world.size > 1 and isinstance(last, RunFailed)
        if stuck or is_at_work():
            sys.stdout.flush()
            os._exit(_exit_code(last))  # at once: an orderly end would wait for who may never be done
    if view is not None and isinstance(last, RunCompleted):
        if args.push_to is not None:
            commands.upload(run, args.push_to, args)
        elif args.export is not None:
            commands.export_run(run)
    return _exit_code(last)


def _tell_memory(run: RunDir, device: "torch.device") -> None:
    """Say how much memory a run will want, and how much there is."""
    from resnet_cifar.report.text import gibibytes
    from resnet_cifar.system.device import is_out_of_memory, release_memory
    from resnet_cifar.system.memory import free_memory
    from resnet_cifar.training.trial import memory_needed

    try:
        needed = f"about {gibibytes(memory_needed(run.recipe(), device))}"
    except RuntimeError as error:
        if not is_out_of_memory(error):
            return  # what is wrong, the run itself will tell
        needed = "more than there is"
    release_memory(device)
    free = free_memory(device)
    print(f"needs {needed} of memory" + (f"; {gibibytes(free)} are free" if free is not None else ""))


def _prepared(args: argparse.Namespace, device: "torch.device", world: "World") -> tuple[Path, Path | None]:
    """The folder of the run to train, made where it is a new one, and that of its data. Errors end the others too."""
    try:
        return _ready_run(args, device)
    except BaseException:
        world.broadcast(None)
        raise


def _ready_run(args: argparse.Namespace, device: "torch.device") -> tuple[Path, Path | None]:
    from resnet_cifar.training.preflight import check, check_free, check_unfinished

    if args.export is not None:  # what can fail is to do so now, and not after hours of training
        from resnet_cifar.model.export import need_packages

        need_packages()
    if args.push_to is not None:
        _may_push(args.push_to)
    if args.resume is not None:
        run = _run_to_resume(args)
        if args.inherited_locks is None:
            check_free(device)
            check_unfinished(run)
        return run.path, commands.data_folder(args) or commands.earlier_data_folder(run)
    recipe, data_dir = recipe_from(args, device.type == "cuda"), commands.data_folder(args)
    check(recipe, data_dir, device)
    run = RunDir.create_numbered(recipe) if args.run is None else RunDir.create(locate(args.run), recipe)
    return run.path, data_dir


def _may_push(repo: str) -> None:
    """Refuse an upload that can be seen to fail. Raises UserError."""
    from huggingface_hub import HfApi

    from resnet_cifar.hub.push import check_rights

    check_rights(HfApi(), repo)


def _run_to_resume(args: argparse.Namespace) -> RunDir:
    given = given_flags(args, OF_RUN)
    if given:
        raise UserError(f"--resume goes on with the run's own recipe; leave out {given}.")
    return RunDir.open(locate(args.resume))


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
