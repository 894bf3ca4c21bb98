import pytest

from resnet_cifar import events
from resnet_cifar.engine.optimizer import OPTIMIZERS, optimizer_tensors
from resnet_cifar.errors import UserError
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.preflight import check
from resnet_cifar.training.session import train
from tests.builders import CPU, begin, finish, of_kind, recipe, same_weights, stage


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("after", [1, 10])
def test_a_resume_restores_every_tensor_of_the_optimizer(name: str, after: int):
    """Stop after a step of the first or of the second epoch; the weights at the end are those of an unbroken run."""
    plan = recipe(stage(optimizer=name, lr=0.003))
    whole, _ = finish(plan)
    training, loop = begin(plan)
    steps = 0
    while steps < after:
        event = next(loop)
        steps += isinstance(event, events.Progress) and event.phase == "train"
    tensors, facts = training.state()
    saved = {name: tensor.clone() for name, tensor in tensors.items()}
    other, loop = begin(plan)
    other.restore(saved, facts)
    state = optimizer_tensors(other.optimizer, other.model)
    assert state.keys() == {name.removeprefix("optimizer.") for name in saved if name.startswith("optimizer.")} != set()
    assert of_kind(events.EpochEnded, list(loop))
    assert same_weights(other.weights(), whole.weights())


def test_an_unknown_optimizer_is_refused_before_the_start():
    with pytest.raises(UserError, match="everything: optimizer is 'adam'; it must be sgd"):
        check(recipe(stage(optimizer="adam")), None, CPU)


def test_a_save_of_another_version_is_refused_in_words(tmp_path, monkeypatch: pytest.MonkeyPatch):
    run = RunDir.create(tmp_path / "run", recipe())
    monkeypatch.setattr("resnet_cifar.training.saves.FORMAT", 1)
    for event in train(run, device=CPU, data_dir=None):
        if isinstance(event, events.EpochEnded):
            run.stop_file.touch()
    monkeypatch.undo()
    before = run.last_file.read_bytes()
    *_, last = train(run, device=CPU, data_dir=None)
    assert isinstance(last, events.RunFailed) and last.user_error
    assert "was saved by another version of resnet_cifar" in last.reason
    assert run.last_file.read_bytes() == before
