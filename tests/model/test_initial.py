import json
import math
import pickle
from pathlib import Path

import pytest
import torch
import torchvision

from resnet_cifar.data.preprocess import CIFAR100, IMAGENET
from resnet_cifar.errors import UserError
from resnet_cifar.model.checkpoint import ModelConfig, save_checkpoint
from resnet_cifar.model.initial import build, read_file, read_start
from resnet_cifar.model.tensors import write_tensors
from resnet_cifar.recipe.config import Recipe
from tests.builders import recipe, result


def tiny(init: object) -> Recipe:
    return recipe(arch="resnet18", init=str(init))


@pytest.fixture(scope="module")
def theirs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return torchvision.models.resnet18(num_classes=1000).state_dict()


def test_scratch_follows_the_seed_and_leaves_torchs_own_draws_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, same, other = (
        build(recipe(arch="resnet18", seed=seed), result(read_start(recipe(arch="resnet18", seed=seed)))).fc.weight
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_torchvision_file_gives_its_backbone_and_a_new_head(theirs, tmp_path: Path, name: str):
    file = tmp_path / name
    if name.endswith("pth"):
        torch.save(theirs, file)
    else:
        write_tensors(file, theirs)
    start = result(read_start(tiny(file)))
    model = build(tiny(file), start)
    assert start.normalization == IMAGENET
    assert torch.equal(model.layer4[1].bn2.running_var, theirs["layer4.1.bn2.running_var"])
    assert torch.equal(model.conv1.weight, theirs["conv1.weight"])
    assert model.fc.weight.shape == (100, 512)


def test_old_files_without_counters_fit(theirs, tmp_path: Path):
    torch.save({name: t for name, t in theirs.items() if "num_batches" not in name}, tmp_path / "old.pth")
    build(tiny(tmp_path / "old.pth"), read_file(tmp_path / "old.pth"))


def test_a_checkpoint_folder_gives_its_head_and_normalization(tmp_path: Path):
    model = build(recipe(arch="resnet18", seed=3), result(read_start(recipe(arch="resnet18", seed=3))))
    config = ModelConfig(arch="resnet18", stem="stock", image_size=32, normalization=CIFAR100)
    save_checkpoint(tmp_path, config, model.state_dict())
    for named in (tmp_path, tmp_path / "model.safetensors"):
        start = read_file(named)
        assert start.normalization == CIFAR100
        assert torch.equal(build(tiny(named), start).fc.weight, model.fc.weight)


@pytest.mark.parametrize(
    ("config", "mean"),
    [
        ({"architecture": "resnet18"}, IMAGENET.mean),
        ({"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}}, (0.5, 0.5, 0.5)),
        ([1], IMAGENET.mean),
    ],
)
def test_a_config_that_is_not_ours_is_no_obstacle(theirs, tmp_path: Path, config: object, mean: tuple):
    write_tensors(tmp_path / "model.safetensors", theirs)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_file(tmp_path).normalization.mean == mean


def test_what_does_not_fit_is_told_by_name(theirs, tmp_path: Path):
    wrong = dict(theirs)
    wrong["layer1.0.conv1.weight"] = torch.zeros(2, 2)
    wrong["extra"] = wrong.pop("layer2.0.bn1.bias")
    write_tensors(tmp_path / "w.safetensors", wrong)
    with pytest.raises(UserError) as refusal:
        build(tiny("x"), read_file(tmp_path / "w.safetensors"))
    for name in ("extra is unknown", r"layer1.0.conv1.weight is 2x2", "layer2.0.bn1.bias is missing"):
        assert name in str(refusal.value)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle was run')",))


def test_a_pickle_with_code_in_it_is_never_run(tmp_path: Path):
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"conv1.weight": Bomb()}))
    torch.save({"conv1.weight": Bomb()}, tmp_path / "zip.pth")
    for name in ("bomb.pth", "zip.pth"):
        with pytest.raises(UserError, match="a pickle that contains more than tensors, which is never executed"):
            read_file(tmp_path / name)


def test_a_truncated_pth_and_other_content(theirs, tmp_path: Path):
    torch.save(theirs, tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    torch.save({"fc.bias": torch.ones(9)}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    legacy = (tmp_path / "w.pth").read_bytes()
    cuts = [whole[: len(whole) // 2], b"hello\n", *(legacy[:size] for size in range(0, len(legacy), 7))]
    for content in cuts:
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(UserError, match="truncated"):
            read_file(tmp_path / "w.pth")
    torch.save({"fc.bias": torch.tensor([math.nan])}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="fc.bias has values that are not finite"):
        read_file(tmp_path / "w.pth")
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(UserError, match="must map names to tensors"):
        read_file(tmp_path / "w.pth")


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(UserError, match="there is no .*nothing.pth; name a checkpoint folder"):
        read_file(tmp_path / "nothing.pth")


def test_imagenet_weights_without_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(UserError, match="cannot download the ImageNet weights .*--init PATH"):
        result(read_start(tiny("imagenet")))


def test_imagenet_weights_that_are_there_already(theirs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(theirs, tmp_path / "checkpoints" / "resnet18-f37072fd.pth")
    start = result(read_start(tiny("imagenet")))
    assert start.normalization == IMAGENET
    assert torch.equal(build(tiny("imagenet"), start).conv1.weight, theirs["conv1.weight"])
