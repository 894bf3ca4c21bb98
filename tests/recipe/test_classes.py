import pickle
from pathlib import Path

from resnet_cifar.recipe.classes import COARSE, FINE, FINE_TO_COARSE


def test_five_classes_in_each_superclass():
    assert (len(FINE), len(COARSE)) == (100, 20)
    assert sorted(FINE_TO_COARSE) == [coarse for coarse in range(20) for _ in range(5)]


def test_names_and_superclasses_are_the_official_files(cifar100_dir: Path):
    folder = cifar100_dir / "cifar-100-python"
    meta = pickle.loads((folder / "meta").read_bytes())
    test = pickle.loads((folder / "test").read_bytes(), encoding="latin1")
    assert list(FINE) == meta["fine_label_names"]
    assert list(COARSE) == meta["coarse_label_names"]
    assert [FINE_TO_COARSE[fine] for fine in test["fine_labels"]] == test["coarse_labels"]
