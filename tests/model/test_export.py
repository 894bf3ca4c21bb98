"""ONNX files: the checkpoint's own answers, what a user of the file must know, and nothing else."""

import json
from pathlib import Path

import pytest
import torch

from resnet_cifar.model.checkpoint import load_checkpoint
from resnet_cifar.model.export import export_onnx
from resnet_cifar.recipe.classes import FINE
from tests.builders import CPU, ROOT, checkpoint, result

onnxruntime = pytest.importorskip("onnxruntime")


pytestmark = pytest.mark.slow  # exporting takes 2 s


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint and its ONNX file; the export takes about 5 s."""
    folder = checkpoint(tmp_path_factory.mktemp("exported") / "tiny", image_size=32)
    file = folder / "model.onnx"
    assert result(export_onnx(folder, file)) < 1e-4
    return folder, file


def test_any_number_of_images_gets_the_checkpoints_logits(exported: tuple[Path, Path]):
    folder, file = exported
    session = onnxruntime.InferenceSession(file)
    model = load_checkpoint(folder, CPU)[0]
    for count in (1, 3):
        inputs = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(count))
        (logits,) = session.run(["logits"], {"images": inputs.numpy()})
        with torch.no_grad():
            assert torch.allclose(torch.from_numpy(logits), model(inputs), atol=1e-4)


def test_preprocessing_and_labels_are_in_the_metadata(exported: tuple[Path, Path]):
    facts = onnxruntime.InferenceSession(exported[1]).get_modelmeta().custom_metadata_map
    assert json.loads(facts["label_names"]) == list(FINE) and facts["image_size"] == "32"
    assert len(json.loads(facts["mean"])) == len(json.loads(facts["std"])) == 3


def test_no_local_path_is_in_the_file(exported: tuple[Path, Path]):
    content = exported[1].read_bytes()
    for place in (ROOT, Path(torch.__file__).parent, exported[0].parent):
        assert str(place).encode() not in content
