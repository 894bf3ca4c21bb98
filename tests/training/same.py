"""Two runs that must be the same: in every event but for its times, in every bit of the weights."""

import json

import torch
from safetensors.torch import load_file

from resnet_cifar import events
from resnet_cifar.model.checkpoint import CONFIG, MODEL
from resnet_cifar.model.unknown import UNKNOWN
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.launcher import LOG
from resnet_cifar.training.session import train
from tests.builders import CPU


def finish(run: RunDir, **options) -> list[events.Event]:
    return list(train(run, device=CPU, data_dir=None, **options))


def learnt(run: RunDir) -> list[str]:
    """What a run says of what it learnt: its lines less times and memory, which differ between processes."""
    lines = []
    for event, _ in run.history():
        if not isinstance(event, events.RunResumed | events.RunStopped | events.Progress):
            fields = json.loads(events.to_json(event, 0))
            measured = ("seconds", "images_per_second", "memory")
            lines.append(json.dumps({k: v for k, v in fields.items() if k not in measured}))
    return lines


def assert_same_run(one: RunDir, other: RunDir) -> None:
    assert learnt(one) == learnt(other)
    for name in (MODEL, UNKNOWN):
        tensors, others = load_file(one.path / name), load_file(other.path / name)
        assert tensors.keys() == others.keys()
        assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert one.eval_file.read_text() == other.eval_file.read_text()
    assert (one.path / CONFIG).read_text() == (other.path / CONFIG).read_text()
    assert files_of(one) == files_of(other)


def files_of(run: RunDir) -> set[str]:
    """Names of a run's files, but for the log of a launcher."""
    return {file.name for file in run.path.iterdir()} - {LOG}
