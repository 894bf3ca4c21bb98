"""Training on rented hardware from the terminal: price and question, the usual bar, and what Ctrl-C asks."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_cifar.cli.chosen import recipe_from
from resnet_cifar.cli.train import check_afterwards, consumers_of, exit_code, publish
from resnet_cifar.errors import UserError
from resnet_cifar.events import ENDS, Event, RunCompleted, RunStopped
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.runs.run_dir import RunDir, locate

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from resnet_cifar.training.tariff import Tariff


def check_options(args: argparse.Namespace) -> None:
    """Raise UserError for options that only make sense with a Job, where there is none."""
    for name in ("minutes", "yes", "detach"):
        if getattr(args, name, None):
            raise UserError(f"--{name} is for runs on rented hardware; name it with --on.")


def _check_places(args: argparse.Namespace) -> None:
    """Raise UserError for options about this machine, of which a Job knows nothing."""
    for name, usual in (("device", "auto"), ("data_dir", None), ("data_source", None)):
        if getattr(args, name) != usual:
            option = name.replace("_", "-")
            raise UserError(f"--{option} is for this machine; a Job has its own device and downloads CIFAR-100 itself.")


def _afterwards(args: argparse.Namespace) -> str:
    """Name an option of what this process does with the events or the completed run; empty if there is none."""
    named = [f"--{name.replace('_', '-')}" for name in ("push_to", "export", "report_to") if getattr(args, name)]
    return next(iter(named), "")


def start(args: argparse.Namespace, began: float) -> int:
    """Train a new run on rented hardware. `began`: when the command was given, by the monotonic clock."""
    from huggingface_hub import HfApi

    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.hub.jobs import check_renter
    from resnet_cifar.training.rental import prepare

    _check_places(args)
    if args.detach and (lost := _afterwards(args)):
        raise UserError(f"{lost} needs this terminal until the run is completed; leave out --detach.")
    check_afterwards(args)
    api = HfApi()
    who = watch(check_renter(api))
    recipe, price = _priced(args, api)
    print(f"run on rented hardware, paid by {who.name}: {price.sentence}")
    if not args.yes and not _agrees("Start? [y/N] ", "the price needs an answer: add --yes."):
        return 0
    run = RunDir.create_numbered(recipe) if args.run is None else RunDir.create(locate(args.run), recipe)
    prepare(run, who.name, price)
    return _begun(args, began, run, api, new=True)


def resume(args: argparse.Namespace, began: float) -> int:
    """Follow a run's Job, or start the next one from the last save."""
    from huggingface_hub import HfApi

    from resnet_cifar.training.preflight import check_unfinished

    _check_places(args)
    if args.detach and (lost := _afterwards(args)):
        raise UserError(f"{lost} needs this terminal until the run is completed; leave out --detach.")
    check_afterwards(args)
    run = RunDir.open(locate(args.resume))
    check_unfinished(run)
    if args.inherited_locks is None:
        return _begun(args, began, run, HfApi(), new=False)
    token = sys.stdin.read().strip()  # from whoever started this process; never in its arguments
    return _follow(args, began, run, HfApi(token=token or None))


def _priced(args: argparse.Namespace, api: "HfApi") -> "tuple[Recipe, Tariff]":
    """Return the recipe, and what it takes. Raises UserError for a run that would fail."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.hub.jobs import find_hardware
    from resnet_cifar.training.preflight import check_request
    from resnet_cifar.training.tariff import check_rentable, tariff

    hardware = watch(find_hardware(api, args.on))
    recipe = recipe_from(args, hardware.gpus > 0)
    check_rentable(recipe)
    check_request(recipe, None, max(1, hardware.gpus))
    return recipe, tariff(recipe, hardware, args.minutes)


def _begun(args: argparse.Namespace, began: float, run: RunDir, api: "HfApi", new: bool) -> int:
    """See that a Job is at work, then follow it, or leave that to a process in the background."""
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.hub.jobs import cancel, passes
    from resnet_cifar.system.signals import StopRequests
    from resnet_cifar.training.rental import begin

    with StopRequests(run.stop_file) as stop:  # Ctrl-C must not leave a Job of which nobody knows
        try:
            rented = watch(begin(run, api))
        except UserError as error:
            if new and not passes(error.__cause__):  # otherwise a Job may have started after all; resuming finds it
                run.delete()
            raise
        if (asker := stop.requested()) is not None:
            watch(cancel(api, rented))
            return exit_code(RunStopped(by=asker))
    print(f"the Job is at {api.endpoint}/{rented.url_path}")
    return _leave(args, run, api) if args.detach else _follow(args, began, run, api)


def _follow(args: argparse.Namespace, began: float, run: RunDir, api: "HfApi") -> int:
    """Show a run until it ends, or until it is left to itself."""
    from resnet_cifar.system.background import is_at_work
    from resnet_cifar.training.rental import follow

    def leave() -> bool:
        print(flush=True)
        question = "Shall the Job go on, at your cost? [y/N] "
        return _agrees(question, "")

    last: Event | None = None
    consumers = consumers_of(args, run, began)
    asks = leave if sys.stdin.isatty() else None
    for last in follow(run, api, inherited=_locks(args), leave=asks):
        for consumer in consumers:
            consumer.show(last)
    if not isinstance(last, ENDS):
        return _leave(args, run, api)
    if is_at_work():
        sys.stdout.flush()
        os._exit(exit_code(last))  # a request that is never answered would be waited for
    if isinstance(last, RunCompleted):
        publish(run, args)
    return exit_code(last)


def _locks(args: argparse.Namespace) -> list[int]:
    """Return the locks that a process of the launcher was given."""
    return getattr(args, "inherited_locks", None) or []


def _leave(args: argparse.Namespace, run: RunDir, api: "HfApi") -> int:
    """Let a process in the background follow the Job."""
    import torch

    from resnet_cifar.hub.jobs import token_of
    from resnet_cifar.training.launcher import Launcher

    Launcher(Path(run.path.parent), torch.device("cpu")).watch(run, token_of(api))
    print(f"run {run.name} goes on in the background; see it and stop it on the page.")
    if lost := _afterwards(args):
        print(f"{lost} was for this terminal, and will not be done.")
    return 0


def _agrees(question: str, otherwise: str) -> bool:
    """Ask in a terminal. Raises UserError with `otherwise` where nobody can answer."""
    if not sys.stdin.isatty():
        raise UserError(otherwise)
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False
