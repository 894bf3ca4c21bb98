"""The command line: runs the command that is asked for, and turns its result into an exit code.

0: done; 1: the run failed; 2: an error that the user can fix; 130: stopped by Ctrl-C; 143: by SIGTERM or the stop file.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from resnet_cifar.cli import commands, find_lr, inspect, rent, train
from resnet_cifar.cli.arguments import parse
from resnet_cifar.cli.robustness import robustness
from resnet_cifar.errors import UserError
from resnet_cifar.runs.rented import is_rented
from resnet_cifar.runs.run_dir import RunDir, locate
from resnet_cifar.system.imports import ending_at_once, uncollected

_BEGAN = time.monotonic()

_WITHOUT_TORCH = ("list-runs", "list-recipes")


def _train(args: argparse.Namespace) -> int:
    if args.on is not None:
        return rent.start(args, _BEGAN)
    rent.check_options(args)
    return train.start(args, _BEGAN)


def _resume(args: argparse.Namespace) -> int:
    if args.kept_in is None and is_rented(RunDir(locate(args.resume))):
        return rent.resume(args, _BEGAN)
    rent.check_options(args)
    return train.resume(args, _BEGAN)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "resume": _resume,
    "train": _train,
    "find-lr": find_lr.suggest,
    "evaluate": commands.evaluate,
    "inspect": inspect.inspect,
    "robustness": robustness,
    "classify": commands.classify,
    "push": commands.push,
    "deploy": commands.deploy,
    "export": commands.export,
    "list-runs": commands.list_runs,
    "list-recipes": commands.list_recipes,
    "page": commands.open_page,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    try:
        name, args = parse(sys.argv[1:] if arguments is None else arguments)
        if name not in _WITHOUT_TORCH:
            with ending_at_once(), uncollected():
                from resnet_cifar.model import zero_gpu  # noqa: F401  # torch, and on ZeroGPU `spaces` before it
        return _COMMANDS[name](args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except (RuntimeError, MemoryError) as error:
        from resnet_cifar.system.device import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        print("error: out of memory; end other programs that use it, or try --device cpu.", file=sys.stderr)
        return 2
