"""Requests that arrive while a model is busy."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from resnet_cifar.model.classifier import Classifier, Prediction
from resnet_cifar.ui.classify.batches import _MOST, Batches
from tests.awkward import halves
from tests.builders import checkpoint, wait

IMAGES = [Image.new("RGB", (40, 40), (17 * number, 255 - 17 * number, 40)) for number in range(12)] + [halves()]


class Busy:
    """A classifier that is busy with its first images until it is released."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.sizes: list[int] = []
        self.released = threading.Event()

    def predict(self, images: Sequence[Image.Image], top: int = 5) -> list[Prediction]:
        self.sizes.append(len(images))
        self.released.wait(60)
        return self.classifier.predict(images, top)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier.load(checkpoint(tmp_path_factory.mktemp("models") / "model"), "cpu")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(len(IMAGES)) as pool:
        yield pool


def test_they_are_answered_together_and_each_gets_its_own_answer(classifier: Classifier, pool: ThreadPoolExecutor):
    busy, batches = Busy(classifier), Batches()
    first = pool.submit(batches.predict, busy, IMAGES[:1], 5)
    wait(lambda: busy.sizes)
    others = [pool.submit(batches.predict, busy, [image], 5) for image in IMAGES[1:]]
    wait(lambda: len(batches._waiting) == len(others))
    busy.released.set()
    answers = [task.result()[0] for task in (first, *others)]
    assert busy.sizes == [1, _MOST, len(others) - _MOST]
    for image, answer in zip(IMAGES, answers, strict=True):
        (alone,) = classifier.predict([image])
        assert answer.label == alone.label and answer.seen.tobytes() == alone.seen.tobytes()
        assert answer.probabilities == pytest.approx(alone.probabilities, rel=1e-3)


def test_each_is_answered_by_its_own_model_and_in_its_own_length(classifier: Classifier, pool: ThreadPoolExecutor):
    busy, other, batches = Busy(classifier), Busy(classifier), Batches()
    first = pool.submit(batches.predict, busy, IMAGES[:1], 5)
    wait(lambda: busy.sizes)
    second = pool.submit(batches.predict, other, IMAGES[1:3], 5)
    third = pool.submit(batches.predict, busy, IMAGES[3:5], 2)
    wait(lambda: len(batches._waiting) == 2)
    busy.released.set()
    other.released.set()
    lengths = [[len(one.probabilities) for one in task.result()] for task in (first, second, third)]
    assert lengths == [[5], [5, 5], [2, 2]]
    assert (busy.sizes, other.sizes) == ([1, 2], [2])


def test_many_images_of_another_model_keep_nobody_apart(classifier: Classifier, pool: ThreadPoolExecutor):
    busy, other, batches = Busy(classifier), Busy(classifier), Batches()
    tasks = [pool.submit(batches.predict, busy, IMAGES[:1], 5)]
    wait(lambda: busy.sizes)
    for count, (model, images) in enumerate(((busy, IMAGES[1:2]), (other, IMAGES[2:10]), (busy, IMAGES[10:11])), 1):
        tasks.append(pool.submit(batches.predict, model, images, 5))
        wait(lambda count=count: len(batches._waiting) == count)
    busy.released.set()
    other.released.set()
    assert [len(task.result()) for task in tasks] == [1, 1, 8, 1] and (busy.sizes, other.sizes) == ([1, 2], [8])


def test_an_error_is_everybodys_and_the_next_are_answered(classifier: Classifier, monkeypatch: pytest.MonkeyPatch):
    batches = Batches()
    with monkeypatch.context() as broken:
        broken.setattr(classifier, "inputs", lambda _: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                batches.predict(classifier, IMAGES[:1], 5)
    assert len(batches.predict(classifier, IMAGES[:2], 5)) == 2 and batches.predict(classifier, [], 5) == []
