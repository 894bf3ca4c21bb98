"""Why a run cannot go on, or did not, in one sentence."""

import re
import signal
import traceback

import torch

from resnet_cifar.errors import Diverged, UserError
from resnet_cifar.events import LONGEST_REASON, RunFailed
from resnet_cifar.recipe.config import Stage
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import is_out_of_memory


def failure(error: Exception, run: RunDir, stage: Stage, image_size: int, device: torch.device) -> RunFailed:
    """Event that ends a run in which `error` was raised; prints the traceback of an unexpected error."""
    if isinstance(error, UserError | Diverged):
        reason, by_user = str(error), isinstance(error, UserError)
    elif is_out_of_memory(error):
        reason, by_user = _out_of_memory(run, stage, image_size, device), True
    elif isinstance(error, RuntimeError) and " by peer" in str(error):
        reason = "another process of the run ended; the log says why, unless the system killed it for its memory."
        by_user = False
    else:
        traceback.print_exc()
        reason, by_user = f"{type(error).__name__}: {error}", False
    return RunFailed(reason=reason[:LONGEST_REASON], user_error=by_user)


def _out_of_memory(run: RunDir, stage: Stage, image_size: int, device: torch.device) -> str:
    place = "GPU memory" if device.type == "cuda" else "memory"
    return (
        f"out of {place} in stage {stage.name!r} at batch size {stage.batch_size} and {image_size} px; end "
        f"other programs that use it and --resume {run.handle}, or try a new run with "
        f"--batch-size {max(2, stage.batch_size // 2)} or a smaller --image-size."
    )


def failure_of_process(log: bytes, code: int) -> RunFailed:
    """Describe why a run's process ended with `code`, from what it printed."""
    lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
    # Rank 0 prints the first prefix, the other processes the second; these often only saw another process end.
    for prefix in ("error: ", "error, in process ") if code > 0 else ():
        if errors := [line for line in lines if line.startswith(prefix)]:
            return RunFailed(reason=errors[-1].partition(": ")[2][:LONGEST_REASON], user_error=prefix == "error: ")
    signals = [int(match[1]) for line in lines if (match := re.match(r" +exitcode +: -(\d+)", line))]
    number = -code if code < 0 else signals[-1] if signals else 0  # torchrun lists the first failure last
    if number:
        name = signal.Signals(number).name
        reason = f"the training process was killed by signal {number} ({name}), usually because memory ran out; "
        return RunFailed(reason=reason + "resuming continues from the last save.", user_error=False)
    reason = lines[-1] if lines else f"the training process ended with exit code {code}."
    return RunFailed(reason=reason[:LONGEST_REASON], user_error=False)
