"""Starts a Job that trains a run.

A Job gets the project's files from a private repo, read-only, and keeps the run in a private bucket. It holds no token:
its access to the bucket is granted when it is created.
"""

import tempfile
from collections.abc import Generator
from pathlib import Path

from huggingface_hub import HfApi, JobInfo, Volume

from resnet_cifar.events import Progress
from resnet_cifar.hub.jobs import LABEL, asked, find_at_work, of_space, plain
from resnet_cifar.hub.staging import check_checkout, stage
from resnet_cifar.runs.rented import Rented

IMAGE = "pytorch/pytorch:2.11.0-cuda12.8-cudnn9-runtime"
"""Official image, with the torch that the project also names for ZeroGPU."""
CODE, RUNS = "/code", "/runs"
"""Where a Job finds the repo and the bucket."""
RECIPE = "recipe.json"
"""The recipe of a new run, beside the code."""
_REPO = "resnet_cifar-jobs"
_ATTEMPTS = 2  # the second one goes on from the last save
_UPLOAD_LIMIT = 300.0  # seconds

# The image has torch and torchvision. The repo cannot be written to, and the project's folder must be.
# The last two are for CIFAR-100 from the Hub, where its official server is down.
_PACKAGES = ("torchvision>=0.26,<1", "safetensors>=0.8,<1", "numpy", "pillow", "tqdm", "huggingface-hub", "pyarrow")
_SCRIPT = (
    'set -e; app=$(mktemp -d); cp -r "$0"/. "$app"; cd "$app"; '
    f"pip install --quiet --break-system-packages --root-user-action=ignore {' '.join(map(repr, _PACKAGES))}; "
    'exec python "$@"'
)
_APP = ("app.py", "resnet_cifar/**/*.py")


def start_job(api: HfApi, run: str, recipe: str, rented: Rented) -> Generator[Progress, None, str]:
    """Start a Job that trains a run, or goes on from its last save; returns the Job's id.

    `recipe`: as JSON. A Job that is at work on the run already is returned instead, so a lost answer costs nothing.
    Raises UserError where the account has no credit or no right, or the Hub does not answer.
    """
    namespace = rented.namespace
    running = yield from asked(lambda: find_at_work(api, rented), rented)
    if running is not None:
        return running.id
    check_checkout("Jobs are started")
    with tempfile.TemporaryDirectory(prefix="resnet_cifar-job-") as name:
        folder = Path(name)
        stage(folder, _APP, without="ui")
        (folder / RECIPE).write_text(recipe, encoding="utf-8")
        repo = f"{namespace}/{of_space(_REPO)}"
        yield from asked(lambda: api.create_repo(repo, private=True, exist_ok=True), rented)
        commit = yield from asked(
            lambda: api.upload_folder(repo_id=repo, folder_path=folder, commit_message=f"For {run}"),
            rented,
            _UPLOAD_LIMIT,
        )
    yield from asked(lambda: api.create_bucket(rented.bucket, private=True, exist_ok=True), rented)
    volumes = [
        Volume(type="model", source=repo, mount_path=CODE, revision=commit.oid, read_only=True),
        Volume(type="bucket", source=rented.bucket, mount_path=RUNS),
    ]

    def create() -> JobInfo:
        return find_at_work(api, rented) or api.run_job(
            image=IMAGE,
            command=command(run, rented),
            env={"PYTHONUNBUFFERED": "1"},
            flavor=rented.hardware,
            timeout=60 * rented.minutes,
            attempts=_ATTEMPTS,
            name=plain(run),
            labels={LABEL: rented.folder},
            volumes=volumes,
            namespace=namespace,
        )

    started = yield from asked(create, rented)
    return started.id


def command(run: str, rented: Rented) -> list[str]:
    """Command of a Job: several GPUs train under `torchrun`, as at home."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(rented.gpus), "--module", "--"]
    program = [*several, "resnet_cifar"] if rented.gpus > 1 else ["app.py"]
    folder = f"{RUNS}/{rented.folder}"
    return ["sh", "-c", _SCRIPT, CODE, *program, "--train-only", "--resume", run, "--kept-in", folder]
