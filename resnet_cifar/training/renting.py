"""Starts a run on rented hardware, and resumes it, with a process of its own that follows the Job."""

from collections.abc import Generator

from huggingface_hub import HfApi

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress, RunCompleted
from resnet_cifar.hub.jobs import check_renter, passes, token_of
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.training.preflight import check_request
from resnet_cifar.training.rental import begin, prepare
from resnet_cifar.training.tariff import Tariff, check_rentable


def rent(
    launcher: Launcher, api: HfApi, recipe: Recipe, price: Tariff, *, name: str = "", notes: str = ""
) -> Generator[Progress, None, RunDir]:
    """Start a new run on rented hardware, at the cost of the client's account.

    Raises UserError, and leaves no folder, if the name is taken, the run would fail, or the Hub refuses the Job.
    """
    check_rentable(recipe)
    check_request(recipe, None, max(1, price.hardware.gpus))
    who = yield from check_renter(api)
    run = launcher.create(recipe, name, notes)
    try:
        prepare(run, who.name, price)
        yield from begin(run, api)
    except UserError as error:
        if not passes(error.__cause__):  # otherwise a Job may have started after all, and resuming finds it
            run.delete()
        raise
    launcher.watch(run, token_of(api))
    return run


def resume_rented(launcher: Launcher, api: HfApi, run: RunDir) -> Generator[Progress, None, None]:
    """Follow a run's Job again, or start the next one from the last save. Raises UserError if it is completed."""
    if isinstance(run.last_event(), RunCompleted):
        raise UserError(f"run {run.name!r} is completed; there is nothing left to resume.")
    yield from begin(run, api)
    launcher.watch(run, token_of(api))
