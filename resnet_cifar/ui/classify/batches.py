"""Images of requests that arrive while a model is busy are classified together, which takes half the time."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from resnet_cifar.model.classifier import Classifier, Prediction
from resnet_cifar.system.device import Threads

_MOST = 8  # images at once; more are hardly quicker, and the first would wait for the last


@dataclass(eq=False)
class _Request:
    classifier: Classifier
    images: Sequence[Image.Image]
    top: int
    answer: list[Prediction] | Exception | None = None


class Batches:
    """The requests of all visitors. One of their threads at a time computes, for the others too."""

    def __init__(self) -> None:
        self._waiting: deque[_Request] = deque()
        self._computes = threading.Lock()
        self._threads = Threads(window=0.3)

    def predict(self, classifier: Classifier, images: Sequence[Image.Image], top: int) -> list[Prediction]:
        """Classify images, as Classifier.predict."""
        request = _Request(classifier, images, top)
        self._waiting.append(request)
        while request.answer is None:
            with self._computes:
                if request.answer is None:
                    self._answer(self._next())
        if isinstance(request.answer, Exception):
            raise request.answer
        return request.answer

    def _next(self) -> list[_Request]:
        """Take the longest waiting request, and those after it that can be answered with it."""
        first = self._waiting.popleft()
        batch, count = [first], len(first.images)
        for request in [*self._waiting]:
            fits = count + len(request.images) <= _MOST
            if fits and (request.classifier, request.top) == (first.classifier, first.top):
                count += len(request.images)
                batch.append(request)
                self._waiting.remove(request)
        return batch

    def _answer(self, batch: list[_Request]) -> None:
        images = [image for request in batch for image in request.images]
        try:
            self._threads.follow()
            answers = batch[0].classifier.predict(images, batch[0].top)
        except Exception as error:
            for request in batch:
                request.answer = error
            return
        for request in batch:
            request.answer, answers = answers[: len(request.images)], answers[len(request.images) :]
