"""None of these: the scores, their file, and what a prediction says."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from resnet_cifar.cli import main as cli
from resnet_cifar.hub.bundle import bundle
from resnet_cifar.model.classifier import Classifier
from resnet_cifar.model.unknown import UNKNOWN, Outputs, Unknown, as_bank, gen, read_unknown, similarity, write_unknown
from resnet_cifar.runs.run_dir import RunDir
from tests.awkward import halves, saved
from tests.builders import checkpoint, recipe, told, within

GENERATOR = torch.Generator().manual_seed(0)


def unknown(threshold: float, features: int = 64, **changes) -> Unknown:
    bank = as_bank(torch.rand(200, features, generator=GENERATOR))
    return replace(Unknown("knn", threshold, bank, 5), **changes)


def test_the_similarity_is_the_one_found_by_trying_all():
    features, bank = torch.rand(7, 16, generator=GENERATOR), torch.rand(60, 16, generator=GENERATOR)
    found = similarity(features, F.normalize(bank), 4)
    for row, value in zip(features, found.tolist(), strict=True):
        all_of_them = sorted((F.cosine_similarity(row, other, dim=0).item() for other in bank), reverse=True)
        assert value == pytest.approx(all_of_them[3], abs=1e-6)
    assert similarity(features, F.normalize(bank[:2]), 4).shape == (7,)  # fewer than k


def test_a_bank_in_bytes_points_where_the_features_do():
    features = torch.rand(50, 512, generator=GENERATOR)
    assert F.cosine_similarity(as_bank(features).float(), features).min() > 0.9999
    assert as_bank(torch.zeros(1, 8)).sum() == 0


def test_gen_is_highest_for_a_sure_answer():
    logits = torch.zeros(3, 100)
    logits[0, 5], logits[1, :2] = 20, 20
    sure, torn, flat = gen(logits).tolist()
    assert sure > torn > flat
    assert flat == pytest.approx(-10 * (0.01 * 0.99) ** 0.1)


def test_both_are_weighed_in_their_standard_deviations():
    scale, whitening = torch.tensor([[0.5, 0.1], [-4.0, 2.0]]), (2 * torch.eye(3)).half()
    score = unknown(0.0, score="both", centre=torch.ones(3), whitening=whitening, scale=scale)
    of = Outputs(score.bank[:1].float(), torch.tensor([[1.0, 4.0, 5.0]]), torch.zeros(1, 100))
    near = (similarity(of.features, F.normalize(score.bank.float()), 5) - 0.5) / 0.1
    texture = (-2 * 5 + 4) / 2  # 3 and 4 away from the centre
    assert score.scores(of).item() == pytest.approx(2 * near.item() + texture, abs=1e-4)


def test_what_is_written_is_read_and_only_beside_its_weights(tmp_path: Path):
    folder = checkpoint(tmp_path / "model")
    assert read_unknown(folder) is None
    written = unknown(0.5)
    write_unknown(folder, written)
    read = read_unknown(folder)
    assert (read.score, read.threshold, read.k) == ("knn", 0.5, 5) and torch.equal(read.bank, written.bank)
    content = (folder / UNKNOWN).read_bytes()
    (folder / UNKNOWN).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert read_unknown(folder) is None  # damaged
    (folder / UNKNOWN).write_bytes(content)
    checkpoint(folder, seed=1)
    assert read_unknown(folder) is None  # of other weights


@pytest.mark.parametrize(("threshold", "known"), [(-1.0, True), (2.0, False), (None, None)])
def test_a_prediction_says_whether_it_is_known_and_is_otherwise_the_same(tmp_path: Path, capsys, threshold, known):
    folder = checkpoint(tmp_path / "model")
    (before,) = Classifier.load(folder, "cpu").predict([halves()])
    assert before.known is None
    if threshold is not None:
        write_unknown(folder, unknown(threshold))
    (after,) = Classifier.load(folder, "cpu").predict([halves()])
    assert after.known is known and after.probabilities == before.probabilities
    (tmp_path / "x.png").write_bytes(saved(halves(), "PNG"))
    arguments = ["--classify", str(tmp_path / "x.png"), "--run", str(folder), "--device", "cpu"]
    assert cli.main(arguments) == 0
    says = f"x.png: probably none of the 100 classes; closest: {after.label}"
    assert (says in capsys.readouterr().out) is (known is False)
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["known"] is known


def test_it_is_published_with_the_run_and_the_card_explains_it(tmp_path: Path):
    run: RunDir = told(tmp_path / "small", recipe()).run
    checkpoint(run.path)
    with bundle(run, "me/small") as folder:
        assert not (folder / UNKNOWN).exists() and UNKNOWN not in (folder / "README.md").read_text()
    write_unknown(run.path, unknown(0.25))
    with bundle(run, "me/small") as folder:
        card = (folder / "README.md").read_text()
        assert read_unknown(folder).threshold == 0.25
    assert UNKNOWN in card and "0.2500" in card and "Sun et al. 2022" in card


def test_it_costs_a_prediction_next_to_nothing():
    """A bank of 5,000 images with 512 features; a prediction of the model that ships takes over 10 ms."""
    whitened = {"centre": torch.zeros(256), "whitening": torch.eye(256).half(), "scale": torch.ones(2, 2)}
    score = unknown(0.5, 512, score="both", bank=as_bank(torch.rand(5000, 512, generator=GENERATOR)), **whitened)
    of = Outputs(*(torch.rand(1, size, generator=GENERATOR) for size in (512, 256, 100)))
    score.known(of)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        score.known(of)
        times.append(time.perf_counter() - began)
    assert min(times) < within(0.003)
