"""Training in the terminal: start or resume a run, show it, publish it when it is completed."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_cifar.cli import commands
from resnet_cifar.cli.chosen import data_folder, recipe_from
from resnet_cifar.errors import Busy, UserError
from resnet_cifar.events import Event, RunCompleted, RunFailed, RunStopped
from resnet_cifar.paths import ROOT
from resnet_cifar.runs.run_dir import RunDir, locate

if TYPE_CHECKING:
    import torch

    from resnet_cifar.training.reporters import Consumer

Run = tuple[Path, Path | None]
"""Folders of a run and of its data."""


def start(args: argparse.Namespace, began: float) -> int:
    """Train a new run. `began`: when the command was given, by the monotonic clock."""
    return _run(args, began, _new_run, inherited=None)


def resume(args: argparse.Namespace, began: float) -> int:
    """Resume a run."""
    if args.kept_in is not None:
        return _run(args, began, _kept_run, inherited=[])
    return _run(args, began, _resumed_run, inherited=args.inherited_locks)


def _run(
    args: argparse.Namespace,
    began: float,
    prepare_run: Callable[[argparse.Namespace, "torch.device"], Run],
    inherited: list[int] | None,
) -> int:
    from resnet_cifar.system.background import is_at_work
    from resnet_cifar.system.device import choose_device, prepare
    from resnet_cifar.system.distributed import World, joined

    def prepared(world: World) -> Run | None:
        """Prepare on rank 0; an error there ends the other processes too."""
        try:
            return world.broadcast(prepare_run(args, device) if world.first else None)
        except BaseException:
            if world.first:
                world.broadcast(None)
            raise

    device = choose_device(args.device)
    prepare(device)
    threads = _cores(in_terminal=inherited is None) if device.type == "cpu" else None
    with joined(device) as world:
        folders = prepared(world)
        if folders is None:
            return 2  # rank 0 has said why
        run = RunDir(folders[0])
        if world.first:
            _announce(run, device, threads, memory=world.size == 1 and inherited is None)
        consumers, last = consumers_of(args, run, began) if world.first else [], None
        new = world.first and prepare_run is _new_run
        how = {"device": device, "data_dir": folders[1], "inherited": inherited or (), "world": world}
        for last in _trained(run, new, **how, **_pace(args)):
            for consumer in consumers:
                consumer.show(last)
        stuck = world.size > 1 and isinstance(last, RunFailed)
        if stuck or is_at_work():
            sys.stdout.flush()
            os._exit(_code(args, last))  # an orderly exit would wait for threads or processes that may never end
    if world.first and isinstance(last, RunCompleted):
        publish(run, args)
    return _code(args, last)


def _cores(in_terminal: bool) -> str:
    """Use the free cores, and return that in words. A run that was not started in a terminal gives way to others."""
    from resnet_cifar.system.device import use_free_cores
    from resnet_cifar.system.niceness import give_way

    if not in_terminal:
        give_way()
    return use_free_cores()


def _trained(run: RunDir, new: bool, **how: Any) -> Iterator[Event]:
    """Train a run. A new one that finds the device taken since it was checked leaves no folder."""
    from resnet_cifar.training.session import train

    try:
        yield from train(run, **how)
    except Busy:
        if new:
            with suppress(UserError):
                run.delete()
        raise


def _pace(args: argparse.Namespace) -> dict[str, float]:
    """How often the run is saved, if not as usual."""
    if getattr(args, "kept_in", None) is None:
        return {}
    from resnet_cifar.training.job import SAVE_EVERY

    return {"save_every": SAVE_EVERY}


def _code(args: argparse.Namespace, last: Event | None) -> int:
    """Exit code; inside a Job 0 if another attempt would fail in the same way."""
    hopeless = isinstance(last, RunFailed) and last.user_error and getattr(args, "kept_in", None) is not None
    return 0 if hopeless else exit_code(last)


def consumers_of(args: argparse.Namespace, run: RunDir, began: float) -> "list[Consumer]":
    """Return what shows the run's events, and what reports them."""
    if getattr(args, "kept_in", None) is not None:
        from resnet_cifar.training.job import Keeper

        return [Keeper(run, Path(args.kept_in))]
    from resnet_cifar.cli.terminal import TerminalView
    from resnet_cifar.training.reporters import reporter

    return [TerminalView(run, began), *([reporter(args.report_to, run)] if args.report_to else [])]


def publish(run: RunDir, args: argparse.Namespace) -> None:
    """Upload or export a completed run, as far as the options ask for it."""
    if args.push_to is not None:
        commands.upload(run, args.push_to, args)
    elif args.export is not None:
        commands.export_run(run)


def _announce(run: RunDir, device: "torch.device", threads: str | None, memory: bool) -> None:
    """Print what a run uses. A run that the page started was estimated there, so it needs no `memory` here."""
    if threads:
        print(threads, flush=True)
    if memory:
        _say_memory(run, device)


def _say_memory(run: RunDir, device: "torch.device") -> None:
    """Print how much memory a run needs, and how much is free."""
    from resnet_cifar.report.text import gibibytes
    from resnet_cifar.system.device import is_out_of_memory, release_memory
    from resnet_cifar.system.memory import free_memory
    from resnet_cifar.training.trial import memory_needed

    try:
        needed = f"about {gibibytes(memory_needed(run.recipe(), device))}"
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            return  # the run itself will report it
        needed = "more than there is"
    release_memory(device)
    free = free_memory(device)
    print(f"needs {needed} of memory" + (f"; {gibibytes(free)} are free" if free is not None else ""))


def _new_run(args: argparse.Namespace, device: "torch.device") -> Run:
    """Check all that can be checked, then make the run's folder."""
    from resnet_cifar.training.preflight import check

    check_afterwards(args)
    recipe = recipe_from(args, device.type == "cuda")
    data_dir = data_folder(args, recipe.data)
    check(recipe, data_dir, device)
    run = RunDir.create_numbered(recipe) if args.run is None else RunDir.create(locate(args.run), recipe)
    return run.path, data_dir


def _resumed_run(args: argparse.Namespace, device: "torch.device") -> Run:
    from resnet_cifar.training.preflight import check_free, check_unfinished

    check_afterwards(args)
    run = RunDir.open(locate(args.resume))
    if args.inherited_locks is None:
        check_free(device)
        check_unfinished(run)
    recipe = run.recipe()
    own = recipe.own is not None and args.data_source is None  # then CIFAR100_DIR is of no concern
    named = args.data_dir if own else data_folder(args, recipe.data)
    return run.path, Path(named) if named else run.data_dir()


def _kept_run(args: argparse.Namespace, device: "torch.device") -> Run:
    from resnet_cifar.training.job import restore

    return restore(args.resume, Path(args.kept_in), ROOT / "recipe.json").path, None


def check_afterwards(args: argparse.Namespace) -> None:
    """Raise UserError for what would fail after hours of training."""
    if args.push_to is None and (args.public or args.create_pr):
        raise UserError(f"{'--public' if args.public else '--create-pr'} needs --push-to USER/NAME.")
    if args.report_to is not None:
        from resnet_cifar.training.reporters import check_installed

        check_installed(args.report_to)
    if args.export is not None:
        from resnet_cifar.model.export import need_packages

        need_packages()
    if args.push_to is not None:
        from huggingface_hub import HfApi

        from resnet_cifar.hub.push import check_rights

        check_rights(HfApi(), args.push_to)


def exit_code(last: Event | None) -> int:
    """Return the exit code of a run that ended with this event."""
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
