"""A bucket for a Space, mounted in it, so that its runs outlive a restart."""

from collections.abc import Callable, Generator, Sequence

from huggingface_hub import HfApi, Volume
from huggingface_hub.errors import HfHubHTTPError

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.hub.push import with_retries

STORAGE = "/data"
"""Folder of a Space at which its bucket is mounted."""


def bucket_of(repo: str) -> str:
    """Name the bucket of the Space `repo` (USER/NAME): its own, and never the one of Jobs."""
    return f"{repo}-space-runs"


def volumes_with_bucket(repo: str, present: Sequence[Volume]) -> list[Volume] | None:
    """Return what a Space is to have mounted beside what it has; None if its bucket is there already.

    Raises UserError if something else has the bucket's place.
    """
    there = next((volume for volume in present if volume.mount_path.rstrip("/") == STORAGE), None)
    if there is None:
        return [*present, Volume(type="bucket", source=bucket_of(repo), mount_path=STORAGE)]
    if there.source != bucket_of(repo):
        raise UserError(
            f"the Space {repo} has {there.source} mounted at {STORAGE}, where its runs would be kept; nothing was "
            "changed. Remove that in the settings of the Space, or deploy without storage."
        )
    return None


def give_bucket(api: HfApi, repo: str, volumes: list[Volume]) -> Generator[Progress, None, None]:
    """Make a Space's private bucket, and mount it. Raises UserError where the Hub refuses it."""
    yield from _asked(repo, lambda: api.create_bucket(bucket_of(repo), private=True, exist_ok=True))
    yield from _asked(repo, lambda: api.set_space_volumes(repo, volumes))


def _asked(repo: str, work: Callable[[], object]) -> Generator[Progress, None, None]:
    try:
        yield from with_retries(work, done=0)
    except UserError as error:
        cause = error.__cause__
        if not isinstance(cause, HfHubHTTPError) or not 400 <= cause.response.status_code < 500:
            raise
        why = cause.server_message or cause.response.status_code
        raise UserError(
            f"the Hugging Face Hub refuses the bucket {bucket_of(repo)} for the Space ({why}); nothing was uploaded. "
            "Either log in with a token that may write to buckets, from a terminal with `hf auth login`, or deploy "
            "without storage: a restart of the Space then deletes its runs."
        ) from cause
