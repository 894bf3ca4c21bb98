"""The card of a run, and the image on it."""

import json
import shutil
from pathlib import Path

from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from PIL import Image

from resnet_cifar.hub.card import model_card
from resnet_cifar.hub.push import push
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import recipe, result
from tests.hub.rules import faults
from tests.hub.server import HubServer


def test_the_card_says_what_the_hub_shows(run: RunDir):
    card = model_card(run, "me/tiny")
    again = ModelCard(str(card))
    assert again.data.to_dict() == card.data.to_dict()
    fields = card.data.to_dict()
    assert fields["pipeline_tag"] == "image-classification" and fields["datasets"] == ["uoft-cs/cifar100"]
    assert fields["license"] == "mit" and fields["library_name"] == "timm" and fields["metrics"] == ["accuracy"]
    assert not faults("model", fields)
    for broken in ({"license": "MIT"}, {"datasets": ["uoft cs"]}, {"model-index": [{"name": "tiny", "results": [{}]}]}):
        assert faults("model", fields | broken)
    name, results = model_index_to_eval_results(fields["model-index"])
    told = json.loads(run.eval_file.read_text())
    assert name == "tiny" and [one.metric_value for one in results] == [round(told["top1"], 4), round(told["top5"], 4)]
    assert all(one.dataset_split == "test" and "without test-time augmentation" in one.metric_name for one in results)
    assert (
        "timm.create_model" in card.text and "| everything | everything | 2 | 0.05 | 32 px | 16 | erase |" in card.text
    )
    assert "It knows best" in card.text and "krizhevsky2009learning" in card.text


def test_a_run_on_made_up_images_claims_nothing_of_cifar100(trained: RunDir, tmp_path: Path):
    run = RunDir(Path(shutil.copytree(trained.path, tmp_path / "tiny")))
    run.recipe_file.write_text(recipe().to_json())
    card = model_card(run, "me/tiny")
    assert "model-index" not in card.data.to_dict() and "datasets" not in card.data.to_dict()
    assert "synthetic" in card.text


def test_the_curves_are_an_image(run: RunDir, hub: HubServer, tmp_path: Path):
    result(push(run, "me/tiny"))
    (tmp_path / "curves.png").write_bytes(hub.files("models", "me/tiny")["curves.png"])
    image = Image.open(tmp_path / "curves.png").convert("RGB")
    teal = [colour for _, colour in image.getcolors(1_000_000) if colour[0] < 20 and abs(colour[1] - 148) < 8]
    assert teal and image.width > 1000
