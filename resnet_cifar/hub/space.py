"""The app as a Space on the Hugging Face Hub: the project's own files, and one checkpoint for it to answer with."""

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi

from resnet_cifar.events import Progress
from resnet_cifar.hub.bundle import staged
from resnet_cifar.hub.push import Plan, check_rights, patiently, soon
from resnet_cifar.paths import ROOT
from resnet_cifar.runs.run_dir import RunDir

_PATTERNS = ("app.py", "requirements.txt", "README.md", "LICENSE", "docs/*.png", "resnet_cifar/**/*.*")
_SUFFIXES = (".py", ".css", ".js", ".txt", ".md", ".png", ".jpg", "")


def deploy(run: RunDir, repo: str, *, public: bool = False, api: HfApi | None = None) -> Generator[Progress, None, str]:
    """Make or update the Space `repo` (USER/NAME) with the app and a run's weights; its address.

    All goes up in one commit, after which the Space starts anew. Files that were there and are none of ours any more
    go. Raises UserError where that can't be.
    """
    api = api or HfApi()
    yield from soon(lambda: check_rights(api, repo))
    with staged_app(run) as folder:
        yield from patiently(
            lambda: api.create_repo(repo, repo_type="space", space_sdk="gradio", private=not public, exist_ok=True),
            done=0,
        )
        yield from patiently(
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


def plan_app(run: RunDir, repo: str, public: bool = False) -> Plan:
    """What `deploy` would upload, found out without a request. Raises UserError where the run has no good weights."""
    with staged_app(run) as folder:
        found = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        files = {str(file.relative_to(folder)): file.stat().st_size for file in found}
        return Plan(repo, public, files, (folder / "README.md").read_text(encoding="utf-8"))


@contextmanager
def staged_app(run: RunDir) -> Iterator[Path]:
    """A folder with all that the Space is made of. Raises UserError where the run has no good weights."""
    with staged(run, run.name) as record, tempfile.TemporaryDirectory(prefix="resnet_cifar-space-") as name:
        folder = Path(name)
        for file in sorted({file for pattern in _PATTERNS for file in ROOT.glob(pattern)}):
            if file.is_file() and file.suffix in _SUFFIXES and "__pycache__" not in file.parts:
                _copy(file, folder / file.relative_to(ROOT))
        shutil.copytree(record, folder / "checkpoints" / run.name)
        yield folder


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
