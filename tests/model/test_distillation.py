import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnet_cifar.data.preprocess import CIFAR100, IMAGENET
from resnet_cifar.engine.state import Training
from resnet_cifar.engine.step import Batch, train_step
from resnet_cifar.errors import UserError
from resnet_cifar.model.checkpoint import ModelConfig, save_checkpoint
from resnet_cifar.model.distillation import Teacher, read_teacher
from resnet_cifar.model.initial import Start, build
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.model.tensors import read_tensors
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.classes import FINE
from resnet_cifar.recipe.config import HEAD, Recipe
from resnet_cifar.recipe.datasets import Normalization
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.device import runs_in
from resnet_cifar.training.preflight import check
from resnet_cifar.training.session import train
from tests.builders import CPU, app, recipe, same_weights, stage
from tests.builders import checkpoint as checkpoint_of


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return saved(tmp_path / "earlier", 32, CIFAR100)


def saved(folder: Path, size: int, normalization: Normalization) -> Path:
    folder.mkdir()
    torch.manual_seed(7)
    config = ModelConfig(arch="resnet18", stem="stock", image_size=size, normalization=normalization)
    save_checkpoint(folder, config, ResNet("resnet18", "stock").state_dict())
    return folder


def taught(checkpoint: Path, **changes: object) -> Recipe:
    return recipe(teacher=str(checkpoint), precision="fp32", **changes)


def kept(run: RunDir) -> dict[str, torch.Tensor]:
    """Tensors, and not bytes: safetensors puts its header in any order."""
    return read_tensors(run.path / "model.safetensors")[0]


def test_targets_are_labels_and_probabilities_in_shares():
    net = nn.Linear(8, 5)
    inputs, labels = torch.randn(6, 8), torch.arange(6) % 5
    probabilities = net(inputs).softmax(1)
    wanted = Teacher(net, 0.3, nullcontext).targets(inputs, labels, smoothing=0.1)
    assert not wanted.requires_grad
    smooth = 0.9 * F.one_hot(labels, 5) + 0.1 / 5
    assert torch.allclose(wanted, 0.7 * smooth + 0.3 * probabilities)
    mixed = torch.rand(6, 5).softmax(1)
    assert torch.allclose(Teacher(net, 0.3, nullcontext).targets(inputs, mixed, 0.0), 0.7 * mixed + 0.3 * probabilities)
    assert torch.equal(Teacher(net, 0.0, nullcontext).targets(inputs, mixed, 0.0), mixed)


def test_a_step_learns_labels_and_what_the_teacher_says_of_the_same_images(checkpoint: Path):
    """The loss is the same mixture of the two losses."""
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8)

    def loss_with(share: float) -> float:
        plan = taught(checkpoint, distillation_weight=share)
        teacher = read_teacher(plan, CPU, CIFAR100, runs_in(CPU, "fp32"))
        training = Training(build(plan, Start(None, CIFAR100, "")), plan, CPU, "fp32", teacher=teacher)
        return float(train_step(training, Batch(images, labels, 8))[0])

    nothing, half, all_of_it = map(loss_with, (0.0, 0.5, 1.0))
    assert half == pytest.approx((nothing + all_of_it) / 2, rel=1e-5)
    assert nothing != pytest.approx(all_of_it, rel=1e-3)


@pytest.mark.slow
def test_a_taught_run_is_resumed_as_if_nothing_had_happened(checkpoint: Path, tmp_path: Path):
    """And leaves its teacher as it was."""
    plan = taught(checkpoint)
    before = (checkpoint / "model.safetensors").read_bytes()
    whole, broken = (RunDir.create(tmp_path / name, plan) for name in ("whole", "broken"))
    list(train(whole, device=CPU, data_dir=None))
    for event in train(broken, device=CPU, data_dir=None, save_every=0):
        if event.__class__.__name__ == "StepLogged":
            broken.stop_file.touch()
    list(train(broken, device=CPU, data_dir=None))
    assert same_weights(kept(whole), kept(broken))
    assert json.loads(whole.eval_file.read_text()) == json.loads(broken.eval_file.read_text())
    assert (checkpoint / "model.safetensors").read_bytes() == before
    alone = RunDir.create(tmp_path / "alone", replace(plan, teacher=None))
    list(train(alone, device=CPU, data_dir=None))
    assert not same_weights(kept(whole), kept(alone))


def test_where_the_head_learns_from_features_there_is_nothing_to_look_at(checkpoint: Path, tmp_path: Path):
    head = stage(trainable=HEAD, image_size=64, augmentation=AUGMENTATIONS["flip"])
    plan = taught(checkpoint, stages=(head, stage()))
    assert cost.step_macs(plan, head) == cost.step_macs(replace(plan, teacher=None), head)
    assert cost.step_macs(plan, stage()) > 1.3 * cost.step_macs(replace(plan, teacher=None), stage())
    *_, last = train(RunDir.create(tmp_path / "run", plan), device=CPU, data_dir=None)
    assert type(last).__name__ == "RunCompleted"


@pytest.mark.process
def test_a_teacher_of_no_use_is_refused_before_there_is_a_folder(checkpoint: Path, tmp_path: Path):
    other = saved(tmp_path / "imagenet", 32, IMAGENET)
    larger = saved(tmp_path / "larger", 64, CIFAR100)
    learned = saved(tmp_path / "learned", 32, CIFAR100)
    (learned / "recipe.json").write_text(recipe(val_images=100, seed=3).to_json())
    for changes in ({"seed": 3}, {"seed": 3, "val_images": 50}, {"val_images": 0}):
        check(taught(learned, **changes), None, CPU)
    for changes in ({}, {"seed": 3, "val_images": 200}):
        with pytest.raises(UserError, match=r"would be this run's val, .* use --seed 3 with --val-images 100 or fewer"):
            check(taught(learned, **changes), None, CPU)
    shuffled = checkpoint_of(tmp_path / "shuffled", labels=tuple(reversed(FINE)), image_size=32)
    few = checkpoint_of(tmp_path / "few", labels=("cat", "dog"), image_size=32)
    for folder, reason in (
        (shuffled, "other classes"),
        (few, "other classes .*2 in all"),
        (other, "was trained with Normalization"),
        (larger, "was trained at 64 px, and this run also trains at 32 px; add --image-size 64"),
        (tmp_path, "is not a checkpoint"),
    ):
        with pytest.raises(UserError, match=reason):
            read_teacher(taught(folder), CPU, CIFAR100, nullcontext)
    small = ["--recipe", "quick", "--data", "synthetic", "--epochs", "1", "--device", "cpu"]
    done = app("--train-only", *small, "--teacher", larger, "--run", tmp_path / "run")
    assert done.returncode == 2 and "was trained at 64 px" in done.stderr and not (tmp_path / "run").exists()
