import json
import struct
import time
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
import torchvision

from resnet_cifar.data.preprocess import CIFAR100
from resnet_cifar.errors import Diverged, UserError
from resnet_cifar.model.checkpoint import ModelConfig, load_checkpoint, read_config, save_checkpoint
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.model.tensors import read_shapes, read_tensors, write_tensors
from resnet_cifar.recipe.classes import FINE
from tests.builders import CPU


def config(**changes) -> ModelConfig:
    return ModelConfig(**{"arch": "resnet34", "stem": "stock", "image_size": 64, "normalization": CIFAR100} | changes)


@pytest.fixture(scope="module")
def trained() -> ResNet:
    """A model whose statistics have moved and whose blocks do something, channels last."""
    torch.manual_seed(0)
    model = ResNet().to(memory_format=torch.channels_last)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    model(torch.randn(8, 3, 64, 64))
    return model.eval()


@pytest.mark.slow
def test_a_checkpoint_gives_the_same_logits(trained: ResNet, tmp_path: Path):
    save_checkpoint(tmp_path, config(), trained.state_dict())
    loaded, read = load_checkpoint(tmp_path, CPU)
    assert read == config()
    images = torch.randn(4, 3, 64, 64)
    assert torch.equal(loaded(images), trained(images))


@pytest.mark.slow
def test_torchvision_and_timm_load_a_stock_checkpoint_without_our_code(trained: ResNet, tmp_path: Path):
    save_checkpoint(tmp_path, config(), trained.state_dict())
    images = torch.randn(4, 3, 64, 64)
    theirs = torchvision.models.resnet34(num_classes=100)
    theirs.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"), strict=True)
    contiguous = trained.to(memory_format=torch.contiguous_format)
    assert torch.equal(theirs.eval()(images), contiguous(images))
    timms = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    assert torch.equal(timms.eval()(images), contiguous(images))
    assert tuple(timms.pretrained_cfg["input_size"]) == (3, 64, 64)
    assert timms.pretrained_cfg["label_names"] == list(FINE)


def test_only_the_stock_stem_claims_to_be_timms(tmp_path: Path):
    assert "architecture" in json.loads(config().to_json())
    cifar = config(stem="cifar")
    assert "architecture" not in json.loads(cifar.to_json())
    assert ModelConfig.from_json(cifar.to_json()) == cifar


def test_a_flipped_bit_is_noticed(trained: ResNet, tmp_path: Path):
    file = tmp_path / "model.safetensors"
    write_tensors(file, trained.state_dict(), {"note": "kept"})
    assert read_tensors(file)[1]["note"] == "kept"
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged.*sha256"):
        read_tensors(file)


@pytest.mark.parametrize("size", [0, 5, 1000, -1])
def test_a_truncated_file_is_refused(trained: ResNet, tmp_path: Path, size: int):
    file = tmp_path / "model.safetensors"
    write_tensors(file, trained.fc.state_dict())
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UserError, match="model.safetensors is truncated or not a safetensors file"):
        read_tensors(file)


def header(text: str, size: int | None = None) -> bytes:
    """A safetensors file with a header, and no tensors behind it."""
    return struct.pack("<Q", len(text) if size is None else size) + text.encode()


HEADERS = {
    "endless": lambda: header("{}", 2**63),
    "longer than the file": lambda: header("{}", 10**6),
    "of a terabyte": lambda: header(
        '{"x": {"dtype": "F32", "shape": [268435456000], "data_offsets": [0, 1073741824000]}}'
    ),
    "of more than it has": lambda: header('{"x": {"dtype": "F32", "shape": [268435456000], "data_offsets": [0, 0]}}'),
    "of many names": lambda: header(
        json.dumps({f"{name}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in range(50_000)})
    ),
    "one long word": lambda: header(json.dumps({"x": {"dtype": "y" * 10**5, "shape": [0], "data_offsets": [0, 0]}})),
    "deep": lambda: header('{"x":' + "[" * 10**5 + "]" * 10**5 + "}"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_is_bounded_before_it_is_believed(tmp_path: Path, kind: str):
    file = tmp_path / "model.safetensors"
    file.write_bytes(HEADERS[kind]())
    for read in (read_tensors, read_shapes):
        began = time.process_time()
        with pytest.raises(UserError, match="model.safetensors is truncated or not a safetensors file") as refused:
            read(file)
        assert time.process_time() - began < 0.2
        assert len(str(refused.value)) < 600  # a sentence, not the header


def test_values_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path):
    file = tmp_path / "model.safetensors"
    good, bad = {"fc.bias": torch.ones(3)}, {"fc.bias": torch.tensor([1.0, float("nan"), 1.0])}
    write_tensors(file, good)
    with pytest.raises(Diverged, match=r"fc\.bias"):
        write_tensors(file, bad)
    assert torch.equal(read_tensors(file)[0]["fc.bias"], good["fc.bias"])
    safetensors.torch.save_file(bad, file)
    with pytest.raises(UserError, match=r"fc\.bias has values that are not finite"):
        read_tensors(file)


def test_a_foreign_file_needs_no_sha256(tmp_path: Path):
    safetensors.torch.save_file({"x": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "x.safetensors")
    assert read_tensors(tmp_path / "x.safetensors")[0]["x"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "no readable config.json"), ("{", "does not describe"), ("{}", "'arch' is missing"), ("[]", "describe")],
)
def test_a_folder_that_is_no_checkpoint(tmp_path: Path, text: str | None, why: str):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=why):
        read_config(tmp_path)


@pytest.mark.parametrize("name", ["resnet999", "y" * 10**5])
def test_a_config_of_another_network(tmp_path: Path, name: str):
    (tmp_path / "config.json").write_text(config().to_json().replace("resnet34", name))
    with pytest.raises(UserError, match=f"arch is '{name[:70]}.*; it must be one of") as refused:
        read_config(tmp_path)
    assert len(str(refused.value)) < 600  # a sentence, not the file


def test_weights_of_another_network_are_told_by_name(trained: ResNet, tmp_path: Path):
    save_checkpoint(tmp_path, config(stem="cifar"), trained.state_dict())
    with pytest.raises(UserError, match=r"conv1\.weight is 64x3x7x7 and should be 64x3x3x3"):
        load_checkpoint(tmp_path, CPU)
