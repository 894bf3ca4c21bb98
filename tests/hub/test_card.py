"""The model card of a run and the plot on it."""

import importlib.metadata
import json
import re

import jinja2
import jinja2.meta
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from PIL import Image

from resnet_cifar.hub.bundle import bundle
from resnet_cifar.hub.card import TEMPLATE, card_values, model_card
from resnet_cifar.model.checkpoint import read_config
from resnet_cifar.report.text import STAGE_COLUMNS
from resnet_cifar.runs.results import read_results
from resnet_cifar.runs.run_dir import RunDir
from tests.builders import checkpoint, recipe, told
from tests.hub.rules import faults


def test_the_metadata_is_what_the_hub_shows_and_accepts(resnet18: RunDir):
    card = model_card(resnet18, "me/tiny")
    assert ModelCard(str(card)).data.to_dict() == card.data.to_dict()
    fields = card.data.to_dict()
    assert fields["pipeline_tag"] == "image-classification" and fields["datasets"] == ["uoft-cs/cifar100"]
    assert fields["license"] == "mit" and fields["library_name"] == "timm" and fields["metrics"] == ["accuracy"]
    assert not faults("model", fields)
    for broken in ({"license": "MIT"}, {"datasets": ["uoft cs"]}, {"model-index": [{"name": "tiny", "results": [{}]}]}):
        assert faults("model", fields | broken)
    name, results = model_index_to_eval_results(fields["model-index"])
    tested = json.loads(resnet18.eval_file.read_text())
    assert name == "tiny"
    assert [one.metric_value for one in results] == [round(tested["top1"], 4), round(tested["top5"], 4)]
    assert all(one.dataset_split == "test" and "without test-time augmentation" in one.metric_name for one in results)


def test_the_text_says_how_to_load_it_how_it_was_trained_and_how_good_it_is(resnet18: RunDir):
    text = model_card(resnet18, "me/tiny").text
    assert 'timm.create_model("hf-hub:me/tiny", pretrained=True)' in text and "models.resnet18(num_classes=100)" in text
    assert "Initial weights: start.pth." in text  # a file's name without its folder
    assert "| everything | everything | 2 | 0.05 | 32 px | 16 | erase |" in text
    assert f"| {' | '.join(STAGE_COLUMNS)} |\n" in text and "| everything | everything | 32 px | 2 |" in text
    tested = json.loads(resnet18.eval_file.read_text())
    assert f"| top-1 accuracy | {100 * tested['top1']:.2f} % |" in text
    best = 100 * max(tested["per_class_top1"].values())
    assert re.search(rf"^Most accurate classes: [a-z ]+ \({best:.2f} %\), ", text, re.MULTILINE)
    assert "| superclass top-1 accuracy | " in text and "collected from the web" in text
    assert "krizhevsky2009learning" in text and "onnx" not in text


def test_the_text_has_no_gaps_and_no_broken_table_whatever_a_run_has(run: RunDir, small: RunDir):
    onnx = model_card(small, "me/small", onnx=True).text
    assert "onnxruntime.InferenceSession" in onnx and "(B, 3, 32, 32) float32" in onnx
    results = json.loads(small.eval_file.read_text())
    small.eval_file.write_text(json.dumps(results | {"coarse_top1": None}))  # a data set without superclasses
    flat = model_card(small, "me/small").text
    assert "superclass" not in flat
    small.eval_file.unlink()
    small.metrics_file.unlink()
    for text in (model_card(run, "me/tiny").text, onnx, flat, model_card(small, "me/small").text):
        assert "\n\n\n" not in text and "None" not in text and "{%" not in text
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            assert len({line.count("|") for line in table.splitlines()}) == 1, table
        for heading in re.findall(r"^## .*", text, re.MULTILINE):
            assert f"\n\n{heading}\n\n" in text
    assert "## Results" not in text  # the last one: a run that was not tested


def test_a_run_on_synthetic_images_claims_nothing_of_cifar100(small: RunDir):
    card = model_card(small, "me/small")
    assert "model-index" not in card.data.to_dict() and "datasets" not in card.data.to_dict()
    assert "cifar100" not in card.data.to_dict()["tags"]
    assert "trained on synthetic images" in card.text and "cannot classify real images" in card.text


def test_a_stage_name_cannot_break_a_table(tmp_path):
    stage = recipe().stages[0]
    run = told(tmp_path / "odd", recipe(type(stage)(name="a|b", epochs=1, lr=0.1))).run
    checkpoint(run.path, image_size=32)
    assert "| a b | everything | 1 |" in model_card(run, "me/odd").text


def test_the_template_names_only_values_that_are_there(run: RunDir):
    """Jinja2 renders a name that it does not know as nothing."""
    used = jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(TEMPLATE.read_text()))
    values = card_values(run, run.recipe(), read_config(run.path), read_results(run))
    assert used == {"card_data", "title", "repo", "onnx", *values}
    used_of_results = set(re.findall(r"results\.(\w+)", TEMPLATE.read_text()))
    assert used_of_results == set(values["results"])


def test_what_renders_the_template_is_installed_with_torch():
    """So a run can be pushed where gradio, which needs Jinja2 too, is not installed."""
    assert any(re.match(r"jinja2\b(?!.*extra)", needed, re.I) for needed in importlib.metadata.requires("torch") or [])


def test_the_curves_are_an_image(run: RunDir):
    with bundle(run, "me/tiny") as folder:
        image = Image.open(folder / "curves.png").convert("RGB")
    teal = [colour for _, colour in image.getcolors(1_000_000) if colour[0] < 20 and abs(colour[1] - 148) < 8]
    assert teal and image.width > 1000
