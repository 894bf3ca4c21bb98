"""The app as a Space on the Hugging Face Hub: the project's own files and one checkpoint.

Only an empty Space, or one that was deployed from here, is ever written to.
"""

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.hub.bundle import bundle
from resnet_cifar.hub.push import Plan, check_name, check_rights, with_retries, with_timeout
from resnet_cifar.paths import IS_CHECKOUT, ROOT
from resnet_cifar.runs.run_dir import RunDir

MARKER = ".resnet_cifar-space"
"""File by which a Space deployed from here is recognized."""
_MARKER_TEXT = "Deployed with `python app.py --deploy-space`; the next deployment replaces all files in this Space.\n"
_NEW_SPACE = {".gitattributes", "README.md"}  # what the Hub itself puts into an empty Space

_PATTERNS = ("app.py", "requirements.txt", "README.md", "LICENSE", "docs/*.png", "resnet_cifar/**/*.*")
_SUFFIXES = (".py", ".css", ".js", ".csv", ".txt", ".md", ".png", ".jpg", "")


def deploy(run: RunDir, repo: str, *, public: bool = False, api: HfApi | None = None) -> Generator[Progress, None, str]:
    """Create or update the Space `repo` (USER/NAME) with the app and a run's weights; returns its address.

    One commit replaces all files, then the Space restarts. Raises UserError where the token may not write there, the
    run has no usable weights, or the Space holds files that were not deployed from here.
    """
    api = api or HfApi()
    yield from with_timeout(lambda: check_rights(api, repo))
    with space_bundle(run) as folder:
        yield from with_retries(
            lambda: api.create_repo(repo, repo_type="space", space_sdk="gradio", private=not public, exist_ok=True),
            done=0,
        )
        present = yield from with_retries(lambda: api.list_repo_files(repo, repo_type="space"), done=0)
        _check_replaceable(api, repo, present)
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


def plan_app(run: RunDir, repo: str, *, public: bool = False) -> Plan:
    """List what `deploy` would upload, without a request.

    Raises UserError where `repo` is not a valid name or the run has no usable weights.
    """
    check_name(repo)
    with space_bundle(run) as folder:
        found = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        files = {str(file.relative_to(folder)): file.stat().st_size for file in found}
        return Plan(repo, public, files, (folder / "README.md").read_text(encoding="utf-8"))


@contextmanager
def space_bundle(run: RunDir) -> Iterator[Path]:
    """Build the Space's files in a temporary folder. Raises UserError where the run has no usable weights."""
    if not IS_CHECKOUT:
        raise UserError("a Space is deployed from a checkout of the project, and this is an installed package.")
    with bundle(run, run.name) as checkpoint, tempfile.TemporaryDirectory(prefix="resnet_cifar-space-") as name:
        folder = Path(name)
        for file in sorted({file for pattern in _PATTERNS for file in ROOT.glob(pattern)}):
            if file.is_file() and file.suffix in _SUFFIXES and "__pycache__" not in file.parts:
                _copy(file, folder / file.relative_to(ROOT))
        shutil.copytree(checkpoint, folder / "checkpoints" / run.name)
        (folder / MARKER).write_text(_MARKER_TEXT, encoding="utf-8")
        yield folder


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
