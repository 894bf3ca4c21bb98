"""Jobs of the Hugging Face Hub: hardware by the minute, on which a run trains.

Every request is limited in time, retried if that may help, and refused in a sentence that names the way out.
"""

import os
import re
import secrets
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import httpx2
from huggingface_hub import HfApi, JobHardwareInfo, JobInfo, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import get_session, hf_raise_for_status

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.hub.push import Account, account, with_retries, with_timeout
from resnet_cifar.runs.rented import Rented
from resnet_cifar.system.files import replacing

T = TypeVar("T")

_BUCKET = "resnet_cifar-runs"
LABEL = "resnet_cifar"
"""Label of a Job whose value is the folder of its run in the bucket."""
_AT_WORK = ["SCHEDULING", "RUNNING"]
_LIMIT = 60.0  # seconds for an answer
_LONGEST = 30  # characters of a Space's name in that of a repo: with its owner, it has 96 at most
_TOKENS, _BILLING = "https://huggingface.co/settings/tokens", "https://huggingface.co/settings/billing"


@dataclass(frozen=True)
class Hardware:
    """Hardware that can be rented."""

    name: str
    gpus: int
    gpu: str
    """Model of the GPU; empty without one."""
    dollars_an_hour: float


def list_hardware(api: HfApi) -> Generator[Progress, None, list[Hardware]]:
    """Ask what can be rented, and for how much. Raises UserError where the Hub does not say."""
    found = yield from asked(api.list_jobs_hardware)
    return [_hardware(one) for one in found if one.unit_label == "minute"]


def find_hardware(api: HfApi, name: str) -> Generator[Progress, None, Hardware]:
    """Return hardware by its name. Raises UserError, with the names and prices, where there is none."""
    known = yield from list_hardware(api)
    for one in known:
        if one.name == name:
            return one
    names = ", ".join(f"{one.name} (${one.dollars_an_hour:.2f} an hour)" for one in known)
    raise UserError(f"--on is {name!r}; the Hugging Face Hub rents out {names}.")


def check_renter(api: HfApi) -> Generator[Progress, None, Account]:
    """Return the account that would pay. Raises UserError if nobody is logged in, or for a token without the right."""
    who = yield from with_timeout(lambda: account(api))
    if not (who.may_write and who.may_rent):
        raise UserError(
            f"the token of {who.name} may not start Jobs; create one with write access, or one that may start Jobs and "
            f"write to repos, at {_TOKENS}, and log in with `hf auth login`."
        )
    return who


def new_place(namespace: str, run: str, hardware: Hardware, minutes: int) -> Rented:
    """Describe where a new run will train: in a folder of the bucket that no earlier run of its name had."""
    return Rented(
        namespace=namespace,
        hardware=hardware.name,
        gpus=hardware.gpus,
        minutes=minutes,
        bucket=f"{namespace}/{of_space(_BUCKET)}",
        folder=f"{plain(run)}-{secrets.token_hex(4)}",
    )


def of_space(name: str) -> str:
    """Name a repo or bucket; each Space has its own, because a login there may write only to what it created."""
    space = os.environ.get("SPACE_ID", "").partition("/")[2]
    return f"{name}-{plain(space)[:_LONGEST]}" if space else name


def plain(run: str) -> str:
    """Return a run's name as names of Jobs and their labels can have it."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", run)


def inspect(api: HfApi, rented: Rented) -> Generator[Progress, None, tuple[str, str]]:
    """Ask for a Job's stage, and for what the Hub says of it."""
    job = yield from asked(lambda: api.inspect_job(job_id=rented.job, namespace=rented.namespace), rented)
    return str(getattr(job.status.stage, "value", job.status.stage)), job.status.message or ""


def is_at_work(stage: str) -> bool:
    """Return whether a Job in this stage still works, or waits for its hardware."""
    return stage in _AT_WORK


def cancel(api: HfApi, rented: Rented) -> Generator[Progress, None, None]:
    """Cancel a Job; one that has ended stays as it is."""
    yield from asked(lambda: api.cancel_job(job_id=rented.job, namespace=rented.namespace), rented)


def follow_log(api: HfApi, rented: Rented) -> Iterator[str]:
    """Yield the lines of a Job's log, from its beginning until it ends. Blocks; raises what the client raises."""
    yield from api.fetch_job_logs(job_id=rented.job, namespace=rented.namespace, follow=True)


def fetch(api: HfApi, rented: Rented, name: str, target: Path) -> Generator[Progress, None, bool]:
    """Download a file of the run from its bucket; False if it is not there. `target` is replaced as a whole."""
    url = f"{api.endpoint}/buckets/{rented.bucket}/resolve/{quote(f'{rented.folder}/{name}')}"

    def work() -> bool:
        headers = build_hf_headers(token=api.token)
        with get_session().stream("GET", url, headers=headers, timeout=_LIMIT) as answer:
            if answer.status_code == httpx2.codes.NOT_FOUND:
                return False
            hf_raise_for_status(answer)
            with replacing(target) as draft, open(draft, "wb") as file:
                for part in answer.iter_bytes():
                    file.write(part)
        return True

    return (yield from asked(work, rented, 5 * _LIMIT))


def token_of(api: HfApi) -> str:
    """Return the client's token, for a process that goes on with it. Raises UserError if there is none."""
    token = api.token if isinstance(api.token, str) else get_token() if api.token is None else None
    if token is None:
        raise UserError("nobody is logged in to the Hugging Face Hub; run `hf auth login`, or set HF_TOKEN.")
    return token


def find_at_work(api: HfApi, rented: Rented) -> JobInfo | None:
    """Return the Job that is at work on a run, if any. Raises what the client raises."""
    jobs = api.list_jobs(status=list(_AT_WORK), labels={LABEL: rented.folder}, namespace=rented.namespace, timeout=30)
    return next(iter(jobs), None)


def _hardware(one: JobHardwareInfo) -> Hardware:
    gpu = one.accelerator if one.accelerator and one.accelerator.type == "gpu" else None
    price = 60 * one.unit_cost_usd
    return Hardware(one.name, int(gpu.quantity) if gpu else 0, gpu.model if gpu else "", price)


def asked(work: Callable[[], T], rented: Rented | None = None, limit: float = _LIMIT) -> Generator[Progress, None, T]:
    """Make a request, with retries. Raises UserError, whose cause is the Hub's answer, with the way out of it."""
    try:
        return (yield from with_retries(work, done=0, limit=limit))
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError) and (sentence := _refusal(cause, rented)):
            raise UserError(sentence) from cause
        raise


def passes(error: BaseException | None) -> bool:
    """Return whether an error of a request may pass by itself: the Hub, or the network, is not there."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    return isinstance(error, httpx2.TransportError | TimeoutError)


def explained(error: Exception, rented: Rented) -> UserError:
    """Build the error for a log that cannot be read."""
    sentence = _refusal(error, rented) if isinstance(error, HfHubHTTPError) else None
    return UserError(sentence or f"the log of the Job cannot be read: {type(error).__name__}: {error}")


def _refusal(error: HfHubHTTPError, rented: Rented | None) -> str | None:
    """Say what a refusal means for a Job; None for what `push` says of any request."""
    status, why = error.response.status_code, error.server_message or "no reason given"
    namespace, hardware = (rented.namespace, rented.hardware) if rented else ("you", "Jobs")
    if status == 401:
        return (
            "the Hugging Face Hub no longer accepts this login; log in again, in a terminal with `hf auth login`, on a "
            "Space with its button, then start or resume the run."
        )
    if status == 402:
        return (
            f"the Hugging Face Hub wants credit before {namespace} can have {hardware} ({why}); add some at "
            f"{_BILLING}, or train on a machine of your own."
        )
    if status == 403:
        return (
            f"this login may not start or see Jobs of {namespace} ({why}); create a token with write access at "
            f"{_TOKENS} and log in with `hf auth login`, or on a Space log out and in again."
        )
    if status == 404:
        return f"the Hugging Face Hub has no such Job, repo or bucket ({why}); it may have been deleted there."
    if status == 429:
        return f"the Hugging Face Hub takes no more requests or Jobs at the moment ({why}); try again in some minutes."
    if status >= 500:
        return f"the Hugging Face Hub answered {status} again and again ({why}); try again later."
    return None
