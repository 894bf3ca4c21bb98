"""The command line as a person meets it: real arguments, real processes where it matters, real exit codes."""

import os
import pickle
import pty
import re
import resource
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from resnet_cifar import events
from resnet_cifar.cli import main as cli
from resnet_cifar.cli.arguments import COMMANDS, parse
from resnet_cifar.cli.chosen import recipe_from
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import ROOT, app, start
from tests.builders import recipe as tiny

# ResNet-34 as the recipe has it, on few synthetic images.
SMALL = ("--recipe", "quick", "--data", "synthetic", "--train-images", "200", "--val-images", "100", "--epochs", "1")


@pytest.fixture
def main(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Calls the command line in this process: exit code, and what stood on standard error."""

    def call(*arguments: object) -> tuple[int, str]:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(str(end.code))
        return code, capsys.readouterr().err

    return call


def test_training_imports_neither_gradio_nor_plotly(tmp_path: Path):
    """Trains in a process of its own: about 6 s."""
    script = (
        "import sys\nfrom resnet_cifar.cli.main import main\ncode = main(sys.argv[1:])\n"
        "assert not {'gradio', 'plotly', 'fastapi', 'huggingface_hub'} & set(sys.modules), 'too much was imported'\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", script, "--train-only", *SMALL, "--run", f"{tmp_path}/run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert RunDir(tmp_path / "run").status() == "completed"
    # The same output, read as a person does who sends it to a file.
    assert "\r" not in done.stdout + done.stderr
    for line in (r"^stage 1/1: everything, trainable: everything; 1 epoch of 200 images", r"^everything 1/1  train"):
        assert re.search(line, done.stdout, re.MULTILINE), done.stdout
    told = re.search(r"^test top-1 (.*) %, top-5", done.stdout, re.MULTILINE)
    evaluated = app("--evaluate", f"{tmp_path}/run")
    assert told and evaluated.returncode == 0
    assert told.group(0) in evaluated.stdout


def test_listing_imports_no_torch():
    script = (
        "import sys\nfrom resnet_cifar.cli.main import main\n"
        "main(['--list-runs'])\nmain(['--list-recipes'])\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    for name in ("transfer", "scratch", "quick"):
        assert f"\n{name}: " in "\n" + done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--recipe", "quikc"],
            "there is no recipe 'quikc'; the recipes are transfer, scratch, overnight, sprint, small-budget, quick",
        ),
        (["--epochs", "0"], "epochs is 0; it must lie between 1 and 10000"),
        (["--epochs", "many"], "invalid int value: 'many'"),
        (["--lr", "-1"], "lr is -1.0; it must lie between"),
        (["--lr", "nan"], "lr is nan"),
        (["--batch-size", "1"], "batch_size is 1"),
        (["--image-size", "4"], "image_size is 4"),
        (["--train-images", "7"], "train_images is 7"),
        (["--val-images", "-1"], "val_images is -1"),
        (["--seed", "-1"], "seed is -1"),
        (["--precision", "fp8"], "invalid choice: 'fp8'"),
        (["--resume", "no-such-run"], "there is no run 'no-such-run'"),
        (["--data-dir", "/no/such/folder"], "there is no data folder /no/such/folder"),
        (["--init", "/no/such/file.pth"], "there is no /no/such/file.pth"),
        (["--run", " "], "' ' is not a valid name for a run"),
        (["--run", ""], "'' is not a valid name for a run"),
        (["--data", "synthetic", "--run", "a b"], "'a b' is no name for a run"),
        (["--data", "synthetic", "--run=-x"], "'-x' is no name for a run"),
        (["--data", "synthetic", "--run", "no/such/<b>x"], "'<b>x' is no name for a run"),
        (["--resume", ""], "'' is not a valid name for a run"),
        (["--recipe", "scratch", "--init", "imagenet"], "ImageNet weights need the stock stem"),
        (["--recipe", "scratch", "--val-images", "20000", "--train-images", "40000"], "of 50000 in all"),
        (["--init", "~nobody-here/x"], "there is no"),
    ],
)
def test_a_bad_request_gets_a_sentence_and_no_folder(main, tmp_path, monkeypatch, arguments: list[str], says: str):
    monkeypatch.setattr("resnet_cifar.runs.run_dir.CHECKPOINTS", tmp_path)
    monkeypatch.delenv("CIFAR100_DIR", raising=False)
    code, error = main("--train-only", *arguments)
    assert code == 2
    assert says in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_a_device_that_is_not_there(main):
    code, error = main("--train-only", "--device", "cuda", *SMALL)
    assert (code, error.count("\n")) == (2, 1)
    assert "torch sees no CUDA GPU here" in error


def test_weights_that_are_a_pickle_with_code_or_do_not_fit(main, tmp_path: Path):
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"x": print}))
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "odd.pth")
    for name, says in (("bomb.pth", "which is never run"), ("odd.pth", "conv1.weight is 3 and should be 64x3x7x7")):
        code, error = main("--train-only", *SMALL, "--init", tmp_path / name, "--run", tmp_path / "run")
        assert code == 2 and says in error
        assert not (tmp_path / "run").exists()


def test_neither_an_existing_nor_a_finished_run_is_touched(main, tmp_path: Path):
    run = tmp_path / "run"
    assert main("--train-only", *SMALL, "--run", run)[0] == 0
    before = {file: file.read_bytes() for file in run.iterdir()}
    code, error = main("--train-only", *SMALL, "--run", run)
    assert code == 2 and "never overwritten" in error
    code, error = main("--train-only", "--resume", run)
    assert code == 2 and "is completed" in error
    code, error = main("--train-only", "--resume", run, "--lr", "0.1", "--seed", "3")
    assert code == 2 and "--resume does not take --lr 0.1 --seed 3" in error
    assert {file: file.read_bytes() for file in run.iterdir()} == before


def test_a_folder_that_cannot_be_written(main, tmp_path: Path):
    (tmp_path / "file").touch()
    code, error = main("--train-only", *SMALL, "--run", tmp_path / "file" / "run")
    assert code == 2 and "cannot create the folder" in error


def test_an_offline_download_fails_the_run_in_words(tmp_path: Path):
    """Starts a Python process."""
    run = tmp_path / "run"
    environment = {k: v for k, v in os.environ.items() if k != "CIFAR100_DIR"} | {"https_proxy": "http://127.0.0.1:9"}
    if (ROOT / "data" / "cifar-100-python").exists():
        pytest.skip("the data has been downloaded here already")
    done = app("--train-only", "--run", run, "--recipe", "quick", env=environment)
    assert done.returncode == 2, done.stderr
    assert "error: cannot download CIFAR-100" in done.stderr and "Traceback" not in done.stderr
    assert RunDir(run).status() == "failed"


def limited(kind: int, size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (size, size))


def test_no_room_for_the_weights(tmp_path: Path):
    """Starts two Python processes. A limit on the size of a file stands in for a full disk."""
    run = RunDir(tmp_path / "run")
    arguments = ("--train-only", *SMALL, "--run", run.path)
    done = app(*arguments, preexec_fn=limited(resource.RLIMIT_FSIZE, 10_000_000))
    assert done.returncode == 2, done.stderr
    assert "error: cannot write" in done.stderr and "Traceback" not in done.stderr
    assert run.status() == "failed" and not list(run.path.glob(".tmp*"))
    assert app("--train-only", "--resume", run.path).returncode == 0


def test_out_of_memory(tmp_path: Path):
    """Starts a Python process. A limit on its memory stands in for a small machine."""
    arguments = ("--train-only", *SMALL, "--train-images", "5000", "--batch-size", "5000", "--image-size", "512")
    limit = limited(resource.RLIMIT_AS, 14 * 2**30)
    done = app(*arguments, "--run", tmp_path / "run", preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert "out of memory in stage 'everything' at batch size 5000 and 512 px" in done.stderr
    assert "--batch-size 2500" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_exit_codes_of_a_stopped_run(tmp_path: Path, number: int, code: int):
    """Starts a Python process and waits for its first epochs: about 8 s."""
    child = start(ROOT / "app.py", "--train-only", *SMALL, "--epochs", "500", "--run", tmp_path / "run")
    assert child.stdout is not None
    while not child.stdout.readline().startswith("everything   1/500"):
        pass
    child.send_signal(number)
    out, _ = child.communicate(timeout=30)
    assert child.returncode == code, out
    assert f"--resume {tmp_path}/run" in out and "Traceback" not in out


# Interrupts itself at the worst moment: while the C++ code of torch imports numpy.
INTERRUPTED = """
import os, signal, sys
from resnet_cifar.cli.main import main

class Interrupt:
    def find_spec(self, name, *_):
        if name == "numpy.linalg" and "torch" in sys.modules:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_while_torch_is_imported(tmp_path: Path):
    """Where torch's own code swallows a KeyboardInterrupt, and a run went on that was told to stop."""
    child = start("-c", INTERRUPTED, "--train-only", *SMALL, "--epochs", "500", "--run", tmp_path / "run")
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 130 and not out, out


def test_a_terminal_gets_a_bar(tmp_path: Path):
    """Trains in a pseudo-terminal: about 8 s."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 100))
    command = [sys.executable, str(ROOT / "app.py"), "--train-only", *SMALL, "--run", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=child, stderr=child, stdin=child, cwd=ROOT)
    os.close(child)
    seen = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    assert process.wait() == 0
    text = seen.decode()
    assert "\r" in text and re.search(r"everything: +\d+%.*img/s", text), text
    assert "test top-1" in text


def test_the_default_recipe_is_told(main, capsys, monkeypatch):
    chosen = []
    monkeypatch.setattr("resnet_cifar.training.preflight.check", lambda recipe, *_: chosen.append(recipe) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["--train-only", "--device", "cpu"])
    assert chosen[0].name == "quick"
    assert "recipe quick, because there is no CUDA GPU in use" in capsys.readouterr().out


def test_flags_change_the_recipe():
    arguments = "--train-only --recipe transfer --epochs 5 --lr 0.2 --batch-size 32 --image-size 64 --seed 4"
    _, args = parse(arguments.split())
    recipe = recipe_from(args, gpu=False)
    assert [(s.epochs, s.lr, s.batch_size, s.image_size) for s in recipe.stages] == [(5, 0.2, 32, 64)] * 3
    assert recipe.stages[1].backbone_lr == pytest.approx(0.1)  # half the head's, as before
    assert recipe.stages[1].warmup_epochs == 0.5 and recipe.seed == 4


def test_quick_learns_real_images(cifar100_dir: Path, tmp_path: Path):
    """Trains on 4,000 real images, a ninth of `quick`, and tests on all 10,000: about 20 s."""
    arguments = ("--recipe", "quick", "--train-images", 4000, "--val-images", 500, "--epochs", 1, "--seed", 0)
    done = app("--train-only", *arguments, "--run", tmp_path / "run", "--data-dir", cifar100_dir)
    assert done.returncode == 0, done.stderr
    last = RunDir(tmp_path / "run").last_event()
    assert isinstance(last, events.RunCompleted)
    assert last.test.top1 > 0.03  # chance is 0.01
    told = re.search(r"^needs about ([\d.]+) GiB of memory; [\d.]+ GiB are free$", done.stdout, re.MULTILINE)
    peak = re.search(r", peak memory ([\d.]+) GiB", done.stdout)
    assert told and peak and float(told[1]) == pytest.approx(float(peak[1]), rel=0.15)


def test_val_can_be_evaluated_and_mirror_images_too(run: RunDir, capsys: pytest.CaptureFixture[str]):
    def told(*flags: str) -> str:
        assert cli.main(["--evaluate", str(run.path), "--data", "synthetic", *flags]) == 0
        return capsys.readouterr().out

    run.recipe_file.write_text(tiny(val_images=100).to_json())
    plain, mirrored, val = told("--split", "test"), told("--tta"), told("--split", "val")
    assert plain == told() and plain.startswith("test top-1") and "on 1,000 images" in plain
    assert "mirror images too" in mirrored and mirrored.splitlines()[0] != plain.splitlines()[0]
    assert val.startswith("val top-1") and "on 100 images" in val
    best = run.history()
    top1 = max(event.val.top1 for event, _ in best if isinstance(event, events.EpochEnded) and event.val)
    assert f"val top-1 {100 * top1:.2f} %" in val
    assert "at 32 px" in plain
    larger = told("--image-size", "48")
    assert "at 48 px" in larger and larger.splitlines()[0] != plain.splitlines()[0]
    assert cli.main(["--evaluate", str(run.path), "--data", "synthetic", "--image-size", "8"]) == 2
    assert "--image-size is 8; it must lie between 16 and 512" in capsys.readouterr().err
    run.recipe_file.write_text(tiny(val_images=0).to_json())
    assert cli.main(["--evaluate", str(run.path), "--data", "synthetic", "--split", "val"]) == 2
    assert "has no val images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--push-to me/x", "python app.py does not take --push-to me/x; see python app.py --help"),
        ("--epochs 3", "python app.py does not take --epochs 3"),
        ("--resume x", "required: --train-only"),
        ("--train-only --dry-run", "--train-only does not take --dry-run"),
        ("--train-only --public", "--public needs --push-to"),
        ("--train-only --split val", "--train-only does not take --split val"),
        ("--train-only --host 0.0.0.0", "--train-only does not take --host"),
        ("--train-only --resume x --seed 3", "--resume does not take --seed 3"),
        ("--evaluate x --epochs 3", "--evaluate does not take --epochs 3"),
        ("--evaluate x --seed 3", "--evaluate does not take --seed 3"),
        ("--evaluate x --json", "--evaluate does not take --json; see python app.py --evaluate --help"),
        ("--evaluate x --push y", "--evaluate does not take --push y"),
        ("--evaluate=x --port 1", "--evaluate does not take --port 1"),
        ("--classify x --data synthetic", "--classify does not take --data synthetic"),
        ("--push x", "required: --repo"),
        ("--push x --repo me/x --tta", "--push does not take --tta"),
        ("--deploy-space me/x --create-pr", "--deploy-space does not take --create-pr"),
        ("--deploy-space me/x --export onnx", "--deploy-space does not take --export onnx"),
        ("--export onnx --epochs 3", "--export does not take --epochs 3"),
        ("--list-recipes --seed 3", "--list-recipes does not take --seed 3"),
        ("--evaluat x", "python app.py does not take --evaluat x"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused_in_one_line(flags: str, says: str, main):
    code, error = main(*flags.split())
    assert code == 2 and says in error and error.count("\n") == 1 and error.startswith("error: ")


def test_every_command_has_its_own_help(capsys: pytest.CaptureFixture[str]):
    def shown(*flags: str) -> str:
        with pytest.raises(SystemExit):
            cli.main([*flags, "--help"])
        return capsys.readouterr().out

    assert all(command.flag in shown() for command in COMMANDS.values() if command.flag)
    assert "--port" in shown() and "--epochs" not in shown()
    assert "--epochs" in shown("--train-only") and "--port" not in shown("--train-only")
    assert "--tta" in shown("--evaluate") and "--epochs" not in shown("--evaluate", "x")


def test_runs_are_listed(run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("resnet_cifar.paths.CHECKPOINTS", run.path.parent)
    assert cli.main(["--list-runs"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["run", "recipe", "status", "epochs"]
    assert re.match(r"tiny +tiny +completed +2/2 +[\d.]+ % +[\d.]+ %", row)
    monkeypatch.setattr("resnet_cifar.paths.CHECKPOINTS", run.path / "none")
    assert cli.main(["--list-runs"]) == 0
    assert "no runs in" in capsys.readouterr().out


def test_starts_and_teachers_are_named_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resnet_cifar.runs.run_dir.CHECKPOINTS", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for named, path in (
        ("mine", tmp_path / "mine"),
        ("v1.0", tmp_path / "v1.0"),
        ("./mine", tmp_path / "mine"),
        ("a.pth", tmp_path / "a.pth"),
    ):
        _, args = parse(["--train-only", "--recipe", "quick", "--init", named, "--teacher", named])
        recipe = recipe_from(args, gpu=False)
        assert recipe.init == recipe.teacher == str(path)


def test_what_an_export_needs_is_asked_for_before_training(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resnet_cifar.model.export._PACKAGES", ("onnx_of_tomorrow",))
    assert cli.main(["--train-only", *SMALL, "--run", str(tmp_path / "run"), "--export", "onnx"]) == 2
    assert "requirements-onnx.txt" in capsys.readouterr().err and not (tmp_path / "run").exists()
