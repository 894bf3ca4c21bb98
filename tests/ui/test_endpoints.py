"""`/classify` as an API, against a live page."""

import base64
import statistics
import time
from pathlib import Path

import httpx
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from benchmarks.load import ask_all
from resnet_cifar.data.images import decode
from resnet_cifar.model.classifier import Classifier
from tests.awkward import BAD, GOOD, halves, saved
from tests.builders import within


@pytest.fixture(scope="session")
def client(url: str) -> Client:
    return Client(url, verbose=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "halves.png").write_bytes(saved(halves(), "PNG"))
    return tmp_path / "halves.png"


def test_the_prediction_is_the_classifiers(client: Client, root: Path, image: Path):
    for name in ("first", "second"):
        expected = Classifier.load(root / name, "cpu").predict([halves()])[0].as_json()
        answer = client.predict(handle_file(image), name, api_name="/classify")
        assert answer["label"] == expected["label"] and answer["superclass"] == expected["superclass"]
        for one, other in zip(answer["confidences"], expected["confidences"], strict=True):
            assert one["label"] == other["label"]
            assert one["confidence"] == pytest.approx(other["confidence"], rel=1e-4)
    assert client.predict(handle_file(image), None, api_name="/classify") == answer  # the newest one


def test_nothing_else_is_offered_and_arguments_are_described(client: Client):
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert list(named) == ["/classify", "/runs", "/run"]
    for endpoint in named.values():  # what a Space's /agents.md says is made from this
        for parameter in endpoint["parameters"]:
            assert f" {parameter['parameter_name']}: " in endpoint["description"]


@pytest.mark.parametrize("name", GOOD)
def test_awkward_images_are_classified(client: Client, root: Path, tmp_path: Path, name: str):
    content = GOOD[name][0]()
    (tmp_path / name).write_bytes(content)
    expected = Classifier.load(root / "second", "cpu").predict([decode(content)])[0]
    answer = client.predict(handle_file(tmp_path / name), None, api_name="/classify")
    assert answer["label"] == expected.label


@pytest.mark.parametrize("name", BAD)
def test_bad_images_get_a_sentence(client: Client, tmp_path: Path, name: str):
    content, says = BAD[name]
    (tmp_path / name).write_bytes(content())
    with pytest.raises(AppError) as refusal:
        client.predict(handle_file(tmp_path / name), None, api_name="/classify")
    assert says in str(refusal.value) and name in str(refusal.value)


def ask(url: str, payload: dict) -> str:
    """Response to a program without Gradio's client: a stream of events."""
    called = httpx.post(f"{url}gradio_api/call/classify", json={"data": [payload, None]})
    if called.status_code != 200:
        return called.text
    return httpx.get(f"{url}gradio_api/call/classify/{called.json()['event_id']}", timeout=20).text


def test_an_upload_is_classified_without_gradios_client(url: str, image: Path):
    (uploaded,) = httpx.post(f"{url}gradio_api/upload", files={"files": image.open("rb")}).json()
    assert "event: complete" in ask(url, {"path": uploaded, "meta": {"_type": "gradio.FileData"}})


@pytest.mark.parametrize("meta", [{"meta": {"_type": "gradio.FileData"}}, {}], ids=["meta", "bare"])
@pytest.mark.parametrize("path", ["{root}/secret.png", "{uploads}/../secret.png", "/etc/passwd", "nothing.png", ""])
def test_a_path_on_the_server_is_refused(url: str, root: Path, path: str, meta: dict):
    """There are images at the first two, which must not be opened."""
    uploads = Path(get_upload_folder())
    for folder in (root, uploads.parent):
        (folder / "secret.png").write_bytes(saved(halves(), "PNG"))
    response = ask(url, {"path": path.format(root=root, uploads=uploads), **meta})
    (uploads.parent / "secret.png").unlink()
    assert "complete" not in response and "confidences" not in response


@pytest.mark.parametrize("scheme", ["http", "file", "data"])
def test_an_address_is_refused(url: str, root: Path, scheme: str):
    (root / "secret.png").write_bytes(saved(halves(), "PNG"))
    address = {
        "http": f"{url}gradio_api/file=x.png",
        "file": f"file://{root}/secret.png",
        "data": f"data:image/png;base64,{base64.b64encode(saved(halves(), 'PNG')).decode()}",
    }[scheme]
    for path in ("x.png", "", address, None):
        response = ask(url, {"path": path, "url": address, "meta": {"_type": "gradio.FileData"}})
        assert "complete" not in response and "confidences" not in response


def test_no_image_and_no_such_model(client: Client, image: Path):
    with pytest.raises(AppError, match="no image was sent"):
        client.predict(None, None, api_name="/classify")
    for name in ("third", "../first", "/etc"):
        with pytest.raises(AppError, match="there is no model"):
            client.predict(handle_file(image), name, api_name="/classify")


@pytest.mark.slow
def test_32_clients_at_once(client: Client, url: str, image: Path):
    """First a few one after another, for the median: about 4 s."""
    times = []
    for _ in range(9):
        began = time.perf_counter()
        expected = client.predict(handle_file(image), "first", api_name="/classify")
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < within(1)
    answers = ask_all(url, 32, 0.5, image.read_bytes(), "first")
    assert len(answers) >= 32
    for _, answer in answers:  # in a batch, sums are rounded in another order
        assert {**answer, "confidences": 0} == {**expected, "confidences": 0}
        for one, other in zip(answer["confidences"], expected["confidences"], strict=True):
            assert one["label"] == other["label"]
            assert one["confidence"] == pytest.approx(other["confidence"], rel=1e-3)
