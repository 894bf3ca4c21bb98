"""Stages that are compiled. Torch's tracing is the real one; the slow part, writing machine code, is left out here."""

import threading
from collections.abc import Callable

import pytest
import torch
from functorch.compile import nop  # type: ignore[import-untyped]
from torch import nn
from torch._dynamo.backends.common import aot_autograd

from resnet_cifar import events
from resnet_cifar.engine import compile as compiling
from resnet_cifar.engine.state import Training
from resnet_cifar.recipe.augmentation import AUGMENTATIONS
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.session import train
from tests.builders import CPU, begin, of_kind, recipe, same_weights, stage

GENTLE = recipe(stage(lr=0.01, augmentation=AUGMENTATIONS["strong"], ema_decay=0.9), precision="fp32", log_every=1)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_pays", lambda _: True)
    monkeypatch.setattr(compiling, "_BACKEND", "aot_eager")


@pytest.mark.slow
def test_it_learns_what_it_would_have_without(compiled: None, monkeypatch: pytest.MonkeyPatch):
    """Traces a ResNet-18 there and back: about 20 s."""
    training, loop = begin(GENTLE)
    with torch._dynamo.config.patch(error_on_recompile=True):
        with_it = list(loop)
    assert isinstance(training.compiled, nn.Module)
    assert of_kind(events.Progress, with_it)[0].phase == "compile"
    monkeypatch.setattr(compiling, "_pays", lambda _: False)
    other, loop = begin(GENTLE)
    without = list(loop)
    for kind in (events.StepLogged, events.EpochEnded):
        assert len(of_kind(kind, with_it)) == len(of_kind(kind, without)) > 1
    losses = [[event.loss for event in of_kind(events.StepLogged, said)] for said in (with_it, without)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert training.weights().keys() == other.weights().keys()
    counts = [training.model.bn1.num_batches_tracked, other.model.bn1.num_batches_tracked]
    assert counts[0] == counts[1] == 14  # steps, and nothing of the example


def test_a_run_is_stopped_while_it_compiles(compiled: None, new_run: Callable[..., RunDir], monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(compiling, "_compiled", lambda *_: never.wait(30))
    run, said = new_run(recipe()), []
    for event in train(run, device=CPU, data_dir=None):
        said.append(event)
        if isinstance(event, events.Progress) and event.phase == "compile":
            run.stop_file.touch()
    never.set()
    assert said[-1] == events.RunStopped(by="stop file")
    assert sum(isinstance(event, events.Progress) and event.phase == "compile" for event in said) < 3


def test_a_save_during_compilation_has_the_statistics_of_before(compiled: None, monkeypatch: pytest.MonkeyPatch):
    """The example batch has moved the BatchNorm statistics already, and they are not yet set back."""
    moved, go_on = threading.Event(), threading.Event()

    def slow(graph: Callable, _: object) -> Callable:
        def run(*inputs: object) -> object:
            outputs = graph(*inputs)
            moved.set()
            go_on.wait(30)
            return outputs

        return run

    monkeypatch.setattr(compiling, "_BACKEND", slow)
    training, loop = begin(GENTLE)
    next(loop)
    while not moved.is_set():
        assert next(loop).phase == "compile"
    assert training.model.bn1.running_mean.any()
    tensors, _ = training.state()
    assert not tensors["model.bn1.running_mean"].any() and tensors["model.bn1.num_batches_tracked"] == 0
    go_on.set()
    while isinstance(next(loop), events.Progress) and not training.position.step:
        pass
    assert training.state()[0]["model.bn1.num_batches_tracked"] == 1


def no_compiler(*_: object) -> None:
    raise RuntimeError("there is no compiler here")


@pytest.mark.slow
@pytest.mark.parametrize("backend", [no_compiler, aot_autograd(fw_compiler=nop, bw_compiler=no_compiler)])
def test_what_can_not_be_compiled_is_trained_without(compiled: None, monkeypatch, backend: Callable):
    """Not its way there, or not its way back."""
    monkeypatch.setattr(compiling, "_BACKEND", backend)
    plain, loop = begin(recipe(log_every=1))
    with pytest.warns(UserWarning, match=r"goes on without it: .*there is no compiler here"):
        said = list(loop)
    monkeypatch.setattr(compiling, "_pays", lambda _: False)
    other, loop = begin(recipe(log_every=1))
    without = list(loop)
    assert of_kind(events.StepLogged, said) == of_kind(events.StepLogged, without)
    assert same_weights(plain.weights(), other.weights())


@pytest.mark.parametrize(
    ("name", "stages"), [("transfer", [False, False, True]), ("scratch", [True]), ("sprint", [False])]
)
def test_it_is_for_long_stages_of_a_gpu(name: str, stages: list[bool]):
    training = Training(begin(recipe())[0].model, RECIPES[name], CPU, "fp32")
    for index, pays in enumerate(stages):
        training.position.stage = index
        assert not compiling._pays(training)
        training.device = torch.device("cuda")
        assert compiling._pays(training) is pays
        training.device = CPU
