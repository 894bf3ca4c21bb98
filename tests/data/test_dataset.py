from pathlib import Path

import pytest
import torch

from resnet_cifar.data import cifar100
from resnet_cifar.data import dataset as data
from resnet_cifar.data.dataset import balanced_order
from resnet_cifar.data.preprocess import CIFAR100, Preprocess
from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.system.background import in_background
from tests.builders import CPU, recipe, result


def test_every_beginning_of_a_balanced_order_is_balanced():
    labels = torch.randint(0, 10, (1000,), generator=torch.Generator().manual_seed(0))
    order = balanced_order(labels, seed=3)
    assert sorted(order.tolist()) == list(range(1000))
    smallest = int(torch.bincount(labels).min()) * 10
    for count in (10, 57, 300, smallest):
        counts = torch.bincount(labels[order[:count]], minlength=10)
        assert int(counts.max() - counts.min()) <= 1
    assert not torch.equal(order, balanced_order(labels, seed=4))


def test_synthetic_splits_are_disjoint_and_learnable_by_nearest_pattern():
    parts = result(data.load(recipe(train_images=2000, val_images=500), None, CPU))
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == [2000, 500, 1000]
    assert torch.bincount(parts.val.labels).tolist() == [5] * 100
    both = torch.cat((parts.train.images, parts.val.images)).flatten(1)
    assert len(both.unique(dim=0)) == 2500
    train, test = (part.images.flatten(1).float() for part in (parts.train, parts.test))
    means = torch.stack([train[parts.train.labels == label].mean(0) for label in range(100)])
    nearest = torch.cdist(test, means).argmin(1)
    assert float((nearest == parts.test.labels).double().mean()) > 0.9


def test_more_images_than_there_are():
    with pytest.raises(UserError, match="5000 val images and at least 9000 train images exceed the 10000 of"):
        recipe(train_images=9000, val_images=5000)


def test_preprocessing_gives_mean_0_and_std_1_and_resizing_commutes_with_it():
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    small = Preprocess(32, CIFAR100, CPU)(images)
    expected = (images / 255 - torch.tensor(CIFAR100.mean)[:, None, None]) / torch.tensor(CIFAR100.std)[:, None, None]
    assert torch.allclose(small, expected, atol=1e-5)
    large = Preprocess(64, CIFAR100, CPU)(images)
    assert large.shape == (8, 3, 64, 64) and large.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(large.mean((2, 3)), small.mean((2, 3)), atol=1e-2)
    resized = torch.nn.functional.interpolate(images.float(), (64, 64), mode="bilinear")
    mean, std = (torch.tensor(values)[:, None, None] for values in (CIFAR100.mean, CIFAR100.std))
    assert torch.allclose(large, (resized / 255 - mean) / std, atol=1e-4)


@pytest.mark.slow
def test_the_real_data_is_split_as_promised(cifar100_dir: Path):
    """Reads all of it: about two seconds."""
    whole = recipe(data="cifar100", train_images=None, val_images=5000)
    parts = result(data.load(whole, cifar100_dir, CPU))
    assert torch.bincount(parts.train.labels).tolist() == [450] * 100
    assert torch.bincount(parts.val.labels).tolist() == [50] * 100
    assert torch.bincount(parts.test.labels).tolist() == [100] * 100
    pixels = parts.train.images.double() / 255
    assert torch.allclose(pixels.mean((0, 2, 3)), torch.tensor(CIFAR100.mean).double(), atol=1e-3)
    assert torch.allclose(pixels.std((0, 2, 3)), torch.tensor(CIFAR100.std).double(), atol=1e-3)
    everything = result(data.load(recipe(data="cifar100", train_images=None, val_images=0), cifar100_dir, CPU))
    assert (len(everything.train), len(everything.val)) == (50_000, 0)


def test_the_real_data_is_found_one_level_up_and_down(cifar100_dir: Path, tmp_path: Path):
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "cifar-100-python").symlink_to(cifar100_dir / "cifar-100-python")
    root = tmp_path / "sets"
    for named in (root, root / "cifar-100-python", tmp_path):
        assert cifar100.find(named) == root


def test_a_damaged_file_is_named_with_its_md5(cifar100_dir: Path, tmp_path: Path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "meta"):
        (folder / name).symlink_to(cifar100_dir / "cifar-100-python" / name)
    with pytest.raises(UserError, match="test is missing: cifar-100-python is incomplete"):
        cifar100.find(tmp_path)
    whole = (cifar100_dir / "cifar-100-python" / "test").read_bytes()
    (folder / "test").write_bytes(whole[:-1000])
    with pytest.raises(UserError, match="incomplete: its MD5 is .*, not f0ef6b0ae62326f3e7ffdfab6717acfc"):
        cifar100.find(tmp_path)


def test_a_folder_without_data(tmp_path: Path):
    with pytest.raises(UserError, match="there is no data folder"):
        cifar100.find(tmp_path / "nowhere")
    with pytest.raises(UserError, match="does not contain cifar-100-python"):
        cifar100.find(tmp_path)


def test_work_in_the_background_returns_its_result_and_raises_its_error():
    progress = Progress(phase="download", done=1, total=2)
    assert result(in_background(lambda: 7, lambda: progress)) == 7
    with pytest.raises(ZeroDivisionError):
        result(in_background(lambda: 1 / 0, lambda: progress))
