import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from resnet_cifar.data.images import decode
from resnet_cifar.model.classifier import Classifier
from tests.awkward import halves, saved
from tests.builders import checkpoint

NAMES = ("upright.png", "=SUM(A1)<b>.png", "cut.png", "wide.jpg")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Four images: `cut.png` is broken, and the second has a malicious name."""
    png = saved(halves(), "PNG")
    contents = (png, saved(halves((90, 30)), "PNG"), png[:100], saved(halves((30, 90)), "JPEG"))
    for name, content in zip(NAMES, contents, strict=True):
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in NAMES]


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["wide-light", "phone-dark"])
def page(request: pytest.FixtureRequest, browser, url: str) -> Iterator:
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(url)
    page.get_by_role("button", name="Several images").click()
    yield page
    page.close()


def drop(page, files: list[Path], done: str) -> None:
    page.set_input_files(".many input[type=file]", [str(file) for file in files])
    page.get_by_text(done).wait_for()


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def handler():
    from resnet_cifar.ui.classify import many

    return many


def upload(file: Path, name: str | None = None):
    from resnet_cifar.ui.classify.uploads import Upload

    return Upload(file, name or file.name)


def models(root: Path):
    from resnet_cifar.ui.classify.models import Models
    from resnet_cifar.ui.rights import Rights

    return Models(root, Rights())


def test_several_images_are_classified_except_the_broken_one(page, root: Path, images: list[Path]):
    drop(page, images, "4 images, classified by second; 1 could not be read")
    tiles = page.locator(".tiles li")
    assert tiles.count() == 4
    classifier = Classifier.load(root / "second", "cpu")
    for place, file in enumerate(images):
        text = tiles.nth(place).inner_text()
        assert file.name in text
        if file.name == "cut.png":
            assert "cut.png is broken or cut short" in text
        else:
            (label, value), *_ = classifier.predict([decode(file)])[0].probabilities.items()
            assert label.replace("_", " ") in text and f"{100 * value:.1f} %" in text
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out


def test_the_table_matches_the_gallery(page, root: Path, images: list[Path]):
    drop(page, images, "classified by second")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    assert download.value.suggested_filename == "predictions.csv"
    table = rows(Path(download.value.path()).read_bytes())
    assert [row["file"] for row in table] == ["upright.png", "'=SUM(A1)<b>.png", "cut.png", "wide.jpg"]
    expected = Classifier.load(root / "second", "cpu").predict([decode(images[0])])[0]
    labels = [table[0][column] for column in ("label", "label_2", "label_3", "label_4", "label_5")]
    shares = [table[0][column] for column in ("confidence", *(f"confidence_{place}" for place in range(2, 6)))]
    assert labels == list(expected.probabilities)
    assert [float(share) for share in shares] == pytest.approx(list(expected.probabilities.values()), abs=1e-5)
    assert table[0]["superclass"] == expected.superclass and table[0]["error"] == ""
    assert table[2]["label"] == "" and "cut.png is broken" in table[2]["error"]


def test_another_model_classifies_all_of_them_again(page, images: list[Path]):
    drop(page, images, "classified by second")
    before = page.inner_text(".tiles")
    page.get_by_label("Model").click()
    page.get_by_role("option", name="first").click()
    page.get_by_text("4 images, classified by first").wait_for()
    assert page.inner_text(".tiles") != before


def test_removing_the_images_removes_the_results(page, images: list[Path]):
    drop(page, images[:2], "2 images, classified by second")
    page.locator(".many").get_by_label("Clear").click()
    page.locator(".tiles").wait_for(state="detached")
    assert page.get_by_role("button", name="Download as CSV").count() == 0


def test_accessibility(page, images: list[Path]):
    """axe-core, WCAG AA, before and after the results."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for _ in range(2):
        found = axe.run(page).response["violations"]
        assert not [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in ("serious", "critical")]
        drop(page, images, "classified by second")


def test_the_gallery_grows_and_the_table_comes_last(root: Path, images: list[Path]):
    steps = list(handler().classify_all(models(root), [upload(images[0])] * 20, "first"))
    assert [gallery.count("<li>") for _, gallery, _ in steps] == [0, 0, 16, 20, 20]
    assert "0 of 20 images" in steps[1][0] and "16 of 20 images" in steps[2][0]
    assert [update["visible"] for _, _, update in steps] == [False, False, False, False, True]


def test_batches_are_limited_by_time(root: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(handler(), "_BATCH_SECONDS", 0)  # as if every image were slow
    batches = list(handler()._in_batches(Classifier.load(root / "first", "cpu"), [upload(images[0])] * 3))
    assert [len(batch) for batch in batches] == [1, 1, 1]


def test_names_are_escaped(root: Path, images: list[Path]):
    names = ("=1+1", "+1", "-1", "@x", "\t=1", "<img src=x onerror=alert(1)>", 'a,b\n"c"', "${x}{{y}}", "ok.png")
    answers = handler()._classified(
        Classifier.load(root / "first", "cpu"), [(upload(images[0], n), halves()) for n in names]
    )
    response = [row["file"] for row in rows(handler().as_csv(answers))]
    assert response == ["'=1+1", "'+1", "'-1", "'@x", "'\t=1", *names[5:]]
    assert "<img src=x" not in "".join(answer.tile() for answer in answers)


def test_a_model_of_two_classes_fills_the_table_too(tmp_path: Path, images: list[Path]):
    classifier = Classifier.load(checkpoint(tmp_path / "two", labels=("yes", "=no")), "cpu")
    (row,) = rows(handler().as_csv(handler()._classified(classifier, [(upload(images[0]), halves())])))
    assert {row["label"], row["label_2"]} == {"yes", "'=no"} and row["superclass"] == row["label_3"] == row[
        "error"
    ] == ""


def test_too_many_images_or_an_unknown_model_are_refused(root: Path, images: list[Path]):
    with pytest.raises(Exception, match="201 images were chosen; at most 200"):
        list(handler().classify_all(models(root), [upload(images[0])] * 201, "first"))
    with pytest.raises(Exception, match="there is no model 'third'"):
        list(handler().classify_all(models(root), [upload(images[0])], "third"))


def several(url: str, *payloads: dict) -> str:
    """Response of the page's own, private endpoint to a program."""
    config = httpx.get(f"{url}config").json()
    (files,) = (part["id"] for part in config["components"] if "up to 200" in str(part["props"].get("label")))
    call, *_ = (event["id"] for event in config["dependencies"] if files in event["inputs"])
    request = {"data": [list(payloads), "first"], "fn_index": call, "session_hash": "several"}
    joined = httpx.post(f"{url}gradio_api/queue/join", json=request)
    assert joined.status_code == 200, joined.text
    return httpx.get(f"{url}gradio_api/queue/data", params={"session_hash": "several"}, timeout=20).text


def test_only_what_was_uploaded_is_opened(url: str, root: Path, images: list[Path]):
    """There is an image at `secret.png`."""
    meta = {"meta": {"_type": "gradio.FileData"}}
    (sent,) = httpx.post(f"{url}gradio_api/upload", files={"files": images[0].open("rb")}).json()
    assert "classified by first" in several(url, {"path": sent, **meta})
    (root / "secret.png").write_bytes(saved(halves(), "PNG"))
    for path in (str(root / "secret.png"), f"{Path(sent).parent}/../../../{root}/secret.png", "/etc/passwd", ""):
        for payload in ({"path": path, **meta}, {"path": path}):
            response = several(url, {"path": sent, **meta}, payload)
            assert '"success":false' in response and "<li>" not in response


def test_only_files_in_the_upload_folder_are_uploads(tmp_path: Path):
    """Checked by our own code, where Gradio does not check."""
    from gradio.data_classes import FileData
    from gradio.utils import get_upload_folder

    from resnet_cifar.ui.classify.uploads import uploaded

    inside, outside = Path(get_upload_folder()) / "x" / "sent.png", tmp_path / "secret.png"
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.write_bytes(b"")
    outside.write_bytes(b"")
    assert uploaded(FileData(path=str(inside), orig_name="a/b.png")) == upload(inside.resolve(), "a/b.png")
    (inside.parent / "link.png").symlink_to(outside)
    for path in (outside, inside.parent / "link.png", f"{inside.parent}/../../{outside}", "http://here/x.png", ""):
        with pytest.raises(Exception, match="only uploaded images"):
            uploaded(FileData(path=str(path), url=str(inside)))
    (inside.parent / "link.png").unlink()
    inside.unlink()
    with pytest.raises(Exception, match=r"sent.png is no longer available.*drop it again"):
        uploaded(FileData(path=str(inside)))
