"""Commands of `python app.py`, each with a parser of its own: an option that a command does not use is refused."""

import argparse
from collections.abc import Callable, Sequence

from resnet_cifar.cli.command import Command, Parser
from resnet_cifar.cli.numbers import port, whole
from resnet_cifar.recipe.architecture import ARCHITECTURES
from resnet_cifar.recipe.config import PRECISIONS
from resnet_cifar.recipe.datasets import CIFAR100_SOURCES, DATASETS
from resnet_cifar.training.reporters import REPORTERS

OF_RECIPE = ("arch", "data", "train_images", "val_images", "seed", "precision")
"""Options that replace a field of the recipe."""
OF_STAGES = ("epochs", "lr", "batch_size", "image_size")
"""Options that replace a field of every stage."""


def parse(arguments: Sequence[str]) -> tuple[str, argparse.Namespace]:
    """Find the command in a command line and parse its options: the command's name, and the options.

    Raises UserError for a command line that makes no sense.
    """
    given = {argument.partition("=")[0] for argument in arguments}
    name = next((name for name, command in COMMANDS.items() if command.flag in given), "page")
    wants_help = given & {"--help", "-h"}  # also where the command's flag lacks its value
    return name, COMMANDS[name].parser().parse_args(["--help"] if wants_help else arguments)


def _page(parser: Parser) -> None:
    parser.add_argument("--host", help="address to listen on; default: this machine only")
    parser.add_argument("--port", type=port, default=7860)
    parser.add_argument("--share", action="store_true", help="give the page a public address, through gradio's servers")
    parser.add_argument(
        "--auth", metavar="USER:PASSWORD", help="ask for a login; or set RESNET_CIFAR_AUTH, which ps does not show"
    )
    parser.add_argument("--read-only", action="store_true", help="only classify and show curves")
    lines = [f"  {command.flag:<16} {command.about}" for command in COMMANDS.values() if command.flag]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "other commands, each with its own --help:\n" + "\n".join(lines)


def _train(parser: Parser) -> None:
    parser.add_argument("--train-only", action="store_true", help=argparse.SUPPRESS)
    run = parser.add_argument_group("run")
    run.add_argument("--run", metavar="NAME", help="name or path of the new run; default: the recipe and a number")
    _add_recipe(run)
    stages = parser.add_argument_group("changes to every stage of the recipe")
    stages.add_argument("--epochs", type=whole, metavar="N")
    stages.add_argument(
        "--lr", type=float, metavar="X", help="peak learning rate of the head; the backbone's keeps its ratio"
    )
    _add_batches(stages)
    _add_train_data(parser)
    _add_machine(parser)
    _add_rental(parser)
    _add_afterwards(parser)


def _find_lr(parser: Parser) -> None:
    parser.add_argument("--find-lr", action="store_true", help=argparse.SUPPRESS)
    recipe = parser.add_argument_group("recipe")
    _add_recipe(recipe)
    recipe.add_argument("--stage", type=whole, default=1, metavar="N", help="stage to test; default: the first")
    _add_batches(parser.add_argument_group("changes to every stage of the recipe"))
    parser.set_defaults(epochs=None, lr=None)  # neither would change the result
    _add_train_data(parser)
    _add_machine(parser)


def _resume(parser: Parser) -> None:
    parser.add_argument("--train-only", action="store_true", required=True, help="required with --resume")
    parser.add_argument("--resume", metavar="RUN", help="stopped, failed or interrupted run")
    _add_data_dir(parser)
    _add_device(parser)
    _add_detach(parser)
    _add_afterwards(parser)
    # Set inside a Job: the folder of the bucket that the run is kept in.
    parser.add_argument("--kept-in", metavar="DIR", help=argparse.SUPPRESS)
    # Set by the page for the run that it starts: descriptors of locks that it holds for it.
    parser.add_argument("--inherited-locks", type=int, nargs="*", help=argparse.SUPPRESS)


def _evaluate(parser: Parser) -> None:
    parser.add_argument("--evaluate", metavar="RUN", help="run or checkpoint folder")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation: average with the mirror image")
    parser.add_argument("--image-size", type=whole, metavar="N", help="pixels a side; default: the checkpoint's")
    _add_data(parser)
    _add_machine(parser)


def _inspect(parser: Parser) -> None:
    parser.add_argument("--inspect", metavar="RUN", help="run or checkpoint folder")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_data_dir(parser)
    _add_device(parser)


def _robustness(parser: Parser) -> None:
    parser.add_argument("--robustness", metavar="RUN", help="run or checkpoint folder")
    parser.add_argument("--cifar100c", metavar="DIR", help="folder of CIFAR-100-C's .npy files, to test on them too")
    _add_data_dir(parser)
    _add_device(parser)


def _classify(parser: Parser) -> None:
    parser.add_argument("--classify", metavar="FILE", nargs="+", help="image files")
    _add_run(parser, "ask")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_device(parser)


def _push(parser: Parser) -> None:
    parser.add_argument("--push", metavar="RUN", help="run to upload")
    parser.add_argument("--repo", metavar="USER/NAME", required=True, help="model repository")
    _add_visibility(parser)
    parser.add_argument("--create-pr", action="store_true", help="open a pull request")
    parser.add_argument("--dry-run", action="store_true", help="show what would be uploaded, without a request")
    parser.add_argument("--export", choices=("onnx",), help="upload model.onnx too")


def _deploy(parser: Parser) -> None:
    parser.add_argument("--deploy-space", metavar="USER/NAME", help="Space to make or update")
    _add_run(parser, "deploy")
    hardware = "the Hub's name, as cpu-basic or t4-small; default: as the Space is, and ZeroGPU if it is new"
    parser.add_argument("--hardware", metavar="NAME", help=hardware)
    parser.add_argument("--storage", action="store_true", help="keep its runs in a private bucket, beyond a restart")
    _add_visibility(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would be uploaded, without a request")


def _export(parser: Parser) -> None:
    parser.add_argument("--export", choices=("onnx",), required=True)
    _add_run(parser, "export")


def _only(flag: str) -> Callable[[Parser], None]:
    def add(parser: Parser) -> None:
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)

    return add


def _add_run(parser: Parser, verb: str) -> None:
    default = "the shipped model, else the newest"
    parser.add_argument("--run", metavar="RUN", help=f"run or checkpoint to {verb}; default: {default}")


def _add_recipe(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--recipe", metavar="NAME", help="or a FILE.json; default: transfer with a CUDA GPU, else quick"
    )
    parser.add_argument("--init", metavar="START", help="scratch, imagenet, a run, or the path of weights")
    parser.add_argument("--teacher", metavar="RUN", help="run or checkpoint folder to distill from")
    parser.add_argument("--arch", choices=ARCHITECTURES)
    parser.add_argument("--seed", type=whole, metavar="N", help="seed of all random draws")


def _add_batches(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--batch-size", type=whole, metavar="N")
    parser.add_argument("--image-size", type=whole, metavar="N", help="pixels a side, in every epoch")


def _add_train_data(parser: Parser) -> None:
    data = parser.add_argument_group("data")
    _add_data(data)
    data.add_argument("--train-images", type=whole, metavar="N", help="use a class-balanced part of train")
    data.add_argument("--val-images", type=whole, metavar="N", help="cut from train; 0: keep the last epoch's weights")


def _add_data(parser: argparse._ActionsContainer) -> None:
    own = "a folder or zip archive of your own images"
    parser.add_argument("--data", metavar="DATA", help=f"{', '.join(DATASETS)} (made on the fly), or {own}")
    _add_data_dir(parser)


def _add_data_dir(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--data-dir", metavar="DIR", help="folder of CIFAR-100; default: CIFAR100_DIR, or download")
    source = "where to download CIFAR-100; default: official, and hub where that is down or slow"
    parser.add_argument("--data-source", choices=CIFAR100_SOURCES, help=source)


def _add_machine(parser: argparse._ActionsContainer) -> None:
    _add_device(parser)
    parser.add_argument("--precision", choices=PRECISIONS)


def _add_device(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")


def _add_rental(parser: Parser) -> None:
    group = parser.add_argument_group("rented hardware: a Job of the Hugging Face Hub")
    group.add_argument("--on", metavar="HARDWARE", help="the Hub's name, as t4-small; the price is shown first")
    group.add_argument(
        "--minutes", type=whole, metavar="N", help="end after N minutes; default: three times the estimate"
    )
    group.add_argument("--yes", action="store_true", help="start without a question")
    _add_detach(group)


def _add_detach(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--detach", action="store_true", help="follow a Job in the background, and return at once")


def _add_visibility(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--public", action="store_true", help="make a new repository public; default: private")


def _add_afterwards(parser: Parser) -> None:
    """Options of what happens beside training and after it."""
    group = parser.add_argument_group("reports and publishing")
    group.add_argument("--report-to", choices=REPORTERS, help="report metrics to this tool too")
    group.add_argument("--export", choices=("onnx",), help="write model.onnx when the run is completed")
    group.add_argument("--push-to", metavar="USER/NAME", help="upload the run when it is completed")
    _add_visibility(group)
    group.add_argument("--create-pr", action="store_true", help="with --push-to: open a pull request")


COMMANDS = {  # in order of precedence: some flags are an option of an earlier command
    "resume": Command("--resume", "Resume a run (with --train-only).", _resume),
    "train": Command("--train-only", "Train a new run in this terminal.", _train),
    "find-lr": Command("--find-lr", "Suggest a learning rate for a recipe; nothing is stored.", _find_lr),
    "evaluate": Command("--evaluate", "Evaluate a run on the test or val images.", _evaluate),
    "inspect": Command("--inspect", "Show where a run is wrong: confusion, mistakes, label errors.", _inspect),
    "robustness": Command(
        "--robustness", "Test a run on noisy, blurred, pale, bright and compressed images.", _robustness
    ),
    "classify": Command("--classify", "Classify image files.", _classify),
    "push": Command("--push", "Upload a run to the Hugging Face Hub.", _push),
    "deploy": Command("--deploy-space", "Deploy the app with a run as a Space.", _deploy),
    "export": Command("--export", "Write a run's weights as ONNX.", _export),
    "list-runs": Command("--list-runs", "List the runs in checkpoints/.", _only("--list-runs")),
    "list-recipes": Command("--list-recipes", "List the recipes.", _only("--list-recipes")),
    "page": Command(None, "ResNet-34 on CIFAR-100: open the page.", _page),
}
