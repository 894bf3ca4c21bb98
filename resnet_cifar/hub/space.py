"""The app as a Space on the Hugging Face Hub: the project's own files and one checkpoint.

Only an empty Space, or one that was deployed from here, is ever written to.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, SpaceHardware, SpaceRuntime
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.hub.bundle import bundle
from resnet_cifar.hub.catalog import MARKER
from resnet_cifar.hub.push import Plan, check_name, check_rights, with_retries, with_timeout
from resnet_cifar.hub.staging import check_checkout, stage
from resnet_cifar.hub.storage import bucket_of, give_bucket, volumes_with_bucket
from resnet_cifar.runs.run_dir import RunDir

_MARKER_TEXT = "Deployed with `python app.py --deploy-space`; the next deployment replaces all files in this Space.\n"
_NEW_SPACE = {".gitattributes", "README.md"}  # what the Hub itself puts into an empty Space

ZERO_GPU: str = SpaceHardware.ZERO_A10G.value
"""ZeroGPU, the hardware of a new Space: all that the Hub gives to a free account."""
HARDWARE: tuple[str, ...] = tuple(one.value for one in sorted(SpaceHardware, key=lambda one: one.value != ZERO_GPU))
"""Names of the hardware that a Space can have, ZeroGPU first."""
_ON_ZERO_GPU = {  # lines to replace, by file
    # https://huggingface.co/docs/hub/spaces-zerogpu: Python 3.12 or 3.10, torch 2.8 to 2.11
    "README.md": {"python_version: .*": f'python_version: "3.12"\nsuggested_hardware: {ZERO_GPU}'},
    "requirements.txt": {"torch>=.*": "torch==2.11.0", "torchvision>=.*": "torchvision==0.26.0\nspaces>=0.51,<1"},
}
T = TypeVar("T")

_PATTERNS = ("app.py", "requirements.txt", "README.md", "LICENSE", "docs/*.png", "resnet_cifar/**/*.*")


def deploy(
    run: RunDir,
    repo: str,
    *,
    public: bool = False,
    hardware: str | None = None,
    storage: bool = False,
    api: HfApi | None = None,
) -> Generator[Progress, None, str]:
    """Create or update the Space `repo` (USER/NAME) with the app and a run's weights; returns its address.

    One commit replaces all files, then the Space restarts. `hardware`: one of HARDWARE; by default an existing Space
    keeps its own, and a new one gets ZeroGPU. `storage`: mount a private bucket, in which the Space keeps its runs;
    whatever is mounted already stays. Raises UserError where the token may not write there, the Hub refuses hardware or
    bucket, the run has no usable weights, or the Space holds files that were not deployed from here.
    """
    api = api or HfApi()
    check_hardware(hardware)
    yield from with_timeout(lambda: check_rights(api, repo))
    runtime = yield from with_retries(lambda: _runtime_of(api, repo), done=0)
    present = (runtime.requested_hardware or runtime.hardware) if runtime else None
    volumes = volumes_with_bucket(repo, (runtime and runtime.volumes) or []) if storage else None
    chosen = hardware or present or ZERO_GPU
    with space_bundle(run, chosen) as folder:
        if present is None:
            yield from _with_hardware(chosen, lambda: _create(api, repo, public, chosen))
        files = yield from with_retries(lambda: api.list_repo_files(repo, repo_type="space"), done=0)
        _check_replaceable(api, repo, files)
        if present not in (None, chosen):
            yield from _with_hardware(chosen, lambda: api.request_space_hardware(repo, SpaceHardware(chosen)))
        if volumes is not None:
            yield from give_bucket(api, repo, volumes)
        yield from with_retries(
            lambda: api.upload_folder(
                repo_id=repo,
                repo_type="space",
                folder_path=folder,
                commit_message=f"The app with {run.name}",
                delete_patterns="*",
            ),
            done=1,
        )
    yield Progress(phase="upload", done=2, total=2)
    return f"{api.endpoint}/spaces/{repo}"


def check_hardware(hardware: str | None) -> None:
    """Raise UserError unless the Hub has such hardware; None is left to the Space."""
    if hardware is not None and hardware not in HARDWARE:
        raise UserError(f"--hardware is {hardware!r}; it must be one of {', '.join(HARDWARE)}.")


def _create(api: HfApi, repo: str, public: bool, hardware: str) -> None:
    api.create_repo(
        repo,
        repo_type="space",
        space_sdk="gradio",
        space_hardware=SpaceHardware(hardware),
        private=not public,
        exist_ok=True,
    )


def _runtime_of(api: HfApi, repo: str) -> SpaceRuntime | None:
    """Return what a Space runs on; None if there is no such Space."""
    try:
        return api.get_space_runtime(repo)
    except RepositoryNotFoundError:
        return None


def _with_hardware(hardware: str, work: Callable[[], T]) -> Generator[Progress, None, T]:
    """Run a request that needs `hardware`. Raises UserError with what an account may have, where the Hub refuses it."""
    try:
        return (yield from with_retries(work, done=0))
    except UserError as error:
        cause = error.__cause__
        if not isinstance(cause, HfHubHTTPError) or cause.response.status_code not in (402, 403):
            raise
        why = cause.server_message or cause.response.status_code
        free = f"choose {ZERO_GPU}, ZeroGPU (in a terminal --hardware {ZERO_GPU}), of which a free account may have two"
        if hardware == ZERO_GPU:
            free = "delete or update one of the two that a free account may have on ZeroGPU"
        raise UserError(
            f"the Hugging Face Hub refuses a Space on {hardware} ({why}); nothing was uploaded. Either {free}, or get "
            "a paid plan or credit at https://huggingface.co/settings/billing."
        ) from cause


def _check_replaceable(api: HfApi, repo: str, files: list[str]) -> None:
    """Raise UserError unless a Space is empty or was deployed from here: the upload deletes every other file."""
    others = sorted(set(files) - _NEW_SPACE)
    if not others or MARKER in files:
        return
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    raise UserError(
        f"the Space {repo} holds files that were not deployed from here: {', '.join(others[:3])}{more}; a deployment "
        f"would delete them. Nothing was changed; choose another name, or delete that Space at "
        f"{api.endpoint}/spaces/{repo}/settings first."
    )


def plan_app(
    run: RunDir, repo: str, *, public: bool = False, hardware: str | None = None, storage: bool = False
) -> Plan:
    """List what `deploy` would upload to a new Space, without a request.

    Raises UserError where `repo` is not a valid name, there is no such hardware, or the run has no usable weights.
    """
    check_name(repo)
    check_hardware(hardware)
    with space_bundle(run, hardware or ZERO_GPU) as folder:
        found = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        files = {str(file.relative_to(folder)): file.stat().st_size for file in found}
        card = (folder / "README.md").read_text(encoding="utf-8")
        return Plan(repo, public, files, card, bucket=bucket_of(repo) if storage else None)


@contextmanager
def space_bundle(run: RunDir, hardware: str = ZERO_GPU) -> Iterator[Path]:
    """Build the Space's files in a temporary folder. Raises UserError where the run has no usable weights."""
    check_checkout("a Space is deployed")
    with bundle(run, run.name) as checkpoint, tempfile.TemporaryDirectory(prefix="resnet_cifar-space-") as name:
        folder = Path(name)
        stage(folder, _PATTERNS)
        shutil.copytree(checkpoint, folder / "checkpoints" / run.name)
        if hardware == ZERO_GPU:
            _fit_zero_gpu(folder)
        (folder / MARKER).write_text(f"{_MARKER_TEXT}{run.name}\n", encoding="utf-8")
        yield folder


def _fit_zero_gpu(folder: Path) -> None:
    """Name the versions that ZeroGPU supports in the README's front matter and in the requirements."""
    for name, changes in _ON_ZERO_GPU.items():
        text = (folder / name).read_text(encoding="utf-8")
        for line, instead in changes.items():
            text = re.sub(f"^{line}$", instead, text, count=1, flags=re.MULTILINE)
        (folder / name).write_text(text, encoding="utf-8")
