"""The choice of a score on val."""

import pytest
import torch

from resnet_cifar.data.dataset import load
from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.engine.unknown import _whitening, auroc, fit_unknown, outputs, surrogates, threshold
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.model.unknown import Outputs
from resnet_cifar.system.device import runs_in
from tests.builders import CPU, recipe, result


@pytest.mark.parametrize(("count", "mean"), [(500, 0.03), (2500, 0.04)])
def test_19_of_20_thresholds_flag_at_most_5_percent_of_known_images(count: int, mean: float):
    """Known images have scores from 0 to 1, all equally often, so a threshold flags as large a share as its value."""
    draws = torch.rand(1000, count, generator=torch.Generator().manual_seed(count))
    flagged = torch.tensor([threshold(scores) for scores in draws])
    assert 0.93 <= (flagged <= 0.05).double().mean() <= 0.99 and flagged.mean() > mean
    assert threshold(draws[0, :20]) == draws[0, :20].min()  # of so few, none is given up


def test_auroc_is_the_share_of_pairs_in_order():
    generator = torch.Generator().manual_seed(0)
    known, others = (torch.randint(low, 10, (40,), generator=generator).float() for low in (2, 0))
    pairs = [(k > o) + 0.5 * (k == o) for k in known.tolist() for o in others.tolist()]
    assert auroc(known, others) == pytest.approx(sum(pairs) / len(pairs))


def test_surrogates_are_images_that_differ_from_theirs_and_are_always_the_same():
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for name, make in surrogates().items():
        made = make(images)
        assert made.shape == images.shape and made.dtype == torch.uint8, name
        assert (made != images).double().mean() > 0.3, name
    again = [make(images) for make in surrogates().values()]
    assert all(torch.equal(one, make(images)) for one, make in zip(again, surrogates().values(), strict=True))
    patches = surrogates()["patches"](images)
    assert torch.equal(patches.flatten(1).sort(1).values, images.flatten(1).sort(1).values)  # the same pixels


def test_outputs_are_the_networks_and_the_fit_flags_few_of_val():
    data = result(load(recipe(), None, CPU))
    torch.manual_seed(0)
    model = ResNet("tiny", "stock", 100).eval()
    how = Preprocess(32, CIFAR100, CPU), runs_in(CPU, "fp32")
    of_val = result(outputs(model, data.val, *how))
    with torch.no_grad():
        assert torch.allclose(of_val.logits, model(how[0](data.val.images)), atol=1e-4)
    unknown = result(fit_unknown(model, data.train, data.val, of_val, *how))
    kept = sum(unknown.known(of_val)) / len(data.val)
    assert 0.98 <= kept < 1 and not model.training  # of 100 images, 1 may be flagged
    assert of_val.texture.shape == (len(data.val), model.texture_size)
    none = data.val.take(torch.arange(0))
    assert result(fit_unknown(model, data.train, none, Outputs(*(part[:0] for part in of_val)), *how)) is None


def test_a_whitened_texture_has_unit_covariance_but_for_the_shrinkage():
    generator = torch.Generator().manual_seed(0)
    texture = torch.randn(4000, 6, generator=generator) @ torch.randn(6, 6, generator=generator) + 3
    centre, whitening = _whitening(texture)
    away = (texture - centre) @ whitening.float()
    assert torch.allclose(centre, texture.mean(0))
    covariance = away.T @ away / len(away)
    assert (covariance - covariance.diagonal().diag()).abs().max() < 0.05 and covariance.diagonal().max() < 1.1
    assert covariance.diagonal().median() > 0.8
    assert _whitening(torch.ones(5, 3))[1].isfinite().all()  # of textures that are all the same
