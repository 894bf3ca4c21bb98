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


@pytest.mark.parametrize("count", [20, 21, 99, 2500])
def test_the_threshold_keeps_95_percent_and_no_higher_one_does(count: int):
    scores = torch.rand(count, generator=torch.Generator().manual_seed(count))
    limit = threshold(scores)
    assert (scores >= limit).double().mean() >= 0.95 > (scores > limit).double().mean()


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


def test_outputs_are_the_networks_and_the_fit_keeps_95_percent_of_val():
    data = result(load(recipe(), None, CPU))
    torch.manual_seed(0)
    model = ResNet("tiny", "stock", 100).eval()
    how = Preprocess(32, CIFAR100, CPU), runs_in(CPU, "fp32")
    of_val = result(outputs(model, data.val, *how))
    with torch.no_grad():
        assert torch.allclose(of_val.logits, model(how[0](data.val.images)), atol=1e-4)
    unknown = result(fit_unknown(model, data.train, data.val, of_val, *how))
    kept = sum(unknown.known(of_val)) / len(data.val)
    assert 0.95 <= kept < 0.97 and not model.training
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
