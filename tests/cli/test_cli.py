"""Options of the command line: what they change, what is refused, and their help."""

import pickle
from pathlib import Path

import pytest
import torch

from resnet_cifar.cli import main as cli
from resnet_cifar.cli.arguments import COMMANDS, parse
from resnet_cifar.cli.chosen import recipe_from
from resnet_cifar.training.preflight import using
from tests.builders import CPU
from tests.cli.conftest import SMALL


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--recipe", "quikc"],
            "there is no recipe 'quikc'; the recipes are transfer, scratch, overnight, sprint, small-budget, quick",
        ),
        (["--epochs", "0"], "epochs is 0; it must lie between 1 and 10000"),
        (["--epochs", "many"], "invalid int value: 'many'"),
        (["--epochs", "9" * 400], "9 ... is too large"),
        (["--seed", "9" * 5000], "argument --seed: invalid int value"),
        (["--resume", "x" * 300], "no file system takes it"),
        (["--run", f"folder/{'x' * 300}"], "no file system takes it"),
        (["--init", f"/tmp/{'x' * 300}.pth"], "no file system takes it"),
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
        (["--data", "synthetic", "--run", "a b"], "'a b' is not a valid name for a run"),
        (["--data", "synthetic", "--run=-x"], "'-x' is not a valid name for a run"),
        (["--data", "synthetic", "--run", "no/such/<b>x"], "'<b>x' is not a valid name for a run"),
        (["--resume", ""], "'' is not a valid name for a run"),
        (["--recipe", "sprint", "--init", "imagenet"], "ImageNet weights need the stock stem"),
        (
            ["--recipe", "scratch", "--val-images", "20000", "--train-images", "40000"],
            "exceed the 50000 of the",
        ),
        (["--init", "~nobody-here/x"], "there is no"),
    ],
)
def test_an_invalid_request_gets_a_message_and_no_folder(main, tmp_path, monkeypatch, arguments: list[str], says: str):
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
    for name, says in (("bomb.pth", "which is never executed"), ("odd.pth", "conv1.weight is 3 and should be 8x3x7x7")):
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


def test_the_default_recipe_is_announced(main, capsys, monkeypatch):
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
        ("--port 99999", "99999 is not a port; use 1 to 65535"),
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


def test_of_two_starts_at_once_the_loser_leaves_no_folder(main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The device is taken after it was found free; whoever took it has not signed its lock yet."""
    monkeypatch.setattr("resnet_cifar.training.preflight.check_free", lambda _: None)
    with using(CPU, ""):
        code, error = main("--train-only", *SMALL, "--run", tmp_path / "run")
    assert code == 2 and "busy with a run that begins at this moment" in error and "''" not in error
    assert list(tmp_path.iterdir()) == []
