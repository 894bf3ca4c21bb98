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
    """Four images: `cut.png` is broken, and the second one has an evil name."""
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


def test_each_of_several_is_answered_but_for_the_bad_one(page, root: Path, images: list[Path]):
    drop(page, images, "4 images, answered by second; 1 can't be read")
    tiles = page.locator(".tiles li")
    assert tiles.count() == 4
    classifier = Classifier.load(root / "second", "cpu")
    for place, file in enumerate(images):
        text = tiles.nth(place).inner_text()
        assert file.name in text
        if file.name == "cut.png":
            assert "cut.png is damaged or truncated" in text
        else:
            (label, value), *_ = classifier.predict([decode(file)])[0].probabilities.items()
            assert label.replace("_", " ") in text and f"{100 * value:.1f} %" in text
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out


def test_the_table_holds_what_the_gallery_shows(page, root: Path, images: list[Path]):
    drop(page, images, "answered by second")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    assert download.value.suggested_filename == "answers.csv"
    table = rows(Path(download.value.path()).read_bytes())
    assert [row["file"] for row in table] == ["upright.png", "'=SUM(A1)<b>.png", "cut.png", "wide.jpg"]
    expected = Classifier.load(root / "second", "cpu").predict([decode(images[0])])[0]
    labels = [table[0][column] for column in ("label", "label_2", "label_3", "label_4", "label_5")]
    shares = [table[0][column] for column in ("confidence", *(f"confidence_{place}" for place in range(2, 6)))]
    assert labels == list(expected.probabilities)
    assert [float(share) for share in shares] == pytest.approx(list(expected.probabilities.values()), abs=1e-5)
    assert table[0]["superclass"] == expected.superclass and table[0]["error"] == ""
    assert table[2]["label"] == "" and "cut.png is damaged" in table[2]["error"]


def test_another_model_answers_all_of_them_anew(page, images: list[Path]):
    drop(page, images, "answered by second")
    before = page.inner_text(".tiles")
    page.get_by_label("Model").click()
    page.get_by_role("option", name="first").click()
    page.get_by_text("4 images, answered by first").wait_for()
    assert page.inner_text(".tiles") != before


def test_taking_them_away_takes_the_answers_along(page, images: list[Path]):
    drop(page, images[:2], "2 images, answered by second")
    page.locator(".many").get_by_label("Clear").click()
    page.locator(".tiles").wait_for(state="detached")
    assert page.get_by_role("button", name="Download as CSV").count() == 0


def test_nothing_serious_stands_in_anybodys_way(page, images: list[Path]):
    """axe-core, WCAG AA, before and after the answers."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for _ in range(2):
        found = axe.run(page).response["violations"]
        assert not [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in ("serious", "critical")]
        drop(page, images, "answered by second")


def test_the_gallery_grows_and_the_table_comes_last(root: Path, images: list[Path]):
    steps = list(handler().answer_all(models(root), [upload(images[0])] * 20, "first"))
    assert [gallery.count("<li>") for _, gallery, _ in steps] == [0, 0, 16, 20, 20]
    assert "0 of 20 images" in steps[1][0] and "16 of 20 images" in steps[2][0]
    assert [update["visible"] for _, _, update in steps] == [False, False, False, False, True]


def test_a_portion_does_not_take_long(root: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(handler(), "_PATIENCE", 0)  # every image is a slow one
    portions = list(handler()._in_portions(Classifier.load(root / "first", "cpu"), [upload(images[0])] * 3))
    assert [len(portion) for portion in portions] == [1, 1, 1]


def test_names_do_no_harm(root: Path, images: list[Path]):
    names = ("=1+1", "+1", "-1", "@x", "\t=1", "<img src=x onerror=alert(1)>", 'a,b\n"c"', "${x}{{y}}", "ok.png")
    answers = handler()._answered(
        Classifier.load(root / "first", "cpu"), [(upload(images[0], n), halves()) for n in names]
    )
    told = [row["file"] for row in rows(handler().as_csv(answers))]
    assert told == ["'=1+1", "'+1", "'-1", "'@x", "'\t=1", *names[5:]]
    assert "<img src=x" not in "".join(answer.tile() for answer in answers)


def test_a_model_of_two_classes_fills_the_table_too(tmp_path: Path, images: list[Path]):
    classifier = Classifier.load(checkpoint(tmp_path / "two", labels=("yes", "=no")), "cpu")
    (row,) = rows(handler().as_csv(handler()._answered(classifier, [(upload(images[0]), halves())])))
    assert {row["label"], row["label_2"]} == {"yes", "'=no"} and row["superclass"] == row["label_3"] == row[
        "error"
    ] == ""


def test_too_many_or_no_such_model(root: Path, images: list[Path]):
    with pytest.raises(Exception, match="these are 201 images; up to 200 are answered"):
        list(handler().answer_all(models(root), [upload(images[0])] * 201, "first"))
    with pytest.raises(Exception, match="there is no model 'third'"):
        list(handler().answer_all(models(root), [upload(images[0])], "third"))


def several(url: str, *payloads: dict) -> str:
    """What a program is told that calls the page's own, hidden endpoint."""
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
    assert "answered by first" in several(url, {"path": sent, **meta})
    (root / "secret.png").write_bytes(saved(halves(), "PNG"))
    for path in (str(root / "secret.png"), f"{Path(sent).parent}/../../../{root}/secret.png", "/etc/passwd", ""):
        for payload in ({"path": path, **meta}, {"path": path}):
            told = several(url, {"path": sent, **meta}, payload)
            assert '"success":false' in told and "<li>" not in told


def test_an_upload_is_a_file_in_the_upload_folder_and_no_other(tmp_path: Path):
    """Where gradio's own checks don't look, this one does."""
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
        with pytest.raises(Exception, match="only images that were uploaded"):
            uploaded(FileData(path=str(path), url=str(inside)))
    (inside.parent / "link.png").unlink()
    inside.unlink()
    with pytest.raises(Exception, match=r"sent.png is no longer here.*drop it again"):
        uploaded(FileData(path=str(inside)))
