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
from tests.ui.accessibility import serious
from tests.ui.conftest import on_both_screens, screen

NAMES = ("upright.png", "=SUM(A1)<b>.png", "cut.png", "wide.jpg")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Four images: `cut.png` is broken, and the second has a malicious name."""
    png = saved(halves(), "PNG")
    contents = (png, saved(halves((90, 30)), "PNG"), png[:100], saved(halves((30, 90)), "JPEG"))
    for name, content in zip(NAMES, contents, strict=True):
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in NAMES]


@pytest.fixture
def page(request: pytest.FixtureRequest, browser, url: str) -> Iterator:
    page = browser.new_page(**screen(request))
    page.goto(url)
    page.wait_for_selector(".zone .invite")
    yield page
    page.close()


def drop(page, files: list[Path], done: str) -> None:
    page.set_input_files(".zone input[type=file]", [str(file) for file in files])
    page.get_by_text(done).wait_for()


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def handler():
    from resnet_cifar.ui.classify import answers

    return answers


def upload(file: Path, name: str | None = None) -> dict[str, str]:
    """What the page sends of an uploaded file."""
    from gradio.utils import get_upload_folder

    sent = Path(get_upload_folder()) / "many" / file.name
    sent.parent.mkdir(parents=True, exist_ok=True)
    sent.write_bytes(file.read_bytes())
    return {"path": str(sent), "name": name or file.name}


def models(root: Path):
    from resnet_cifar.ui.classify.models import Models
    from resnet_cifar.ui.rights import Rights

    return Models(root, Rights())


@on_both_screens
def test_several_images_are_classified_except_the_broken_one(page, root: Path, images: list[Path]):
    """The gallery, sorted by doubt; one image's classes in a dialog."""
    drop(page, images, "4 images, classified by second, the least certain first; 1 could not be read")
    tiles = page.locator(".tiles li")
    assert tiles.count() == 4 and "cut.png is damaged or truncated" in tiles.nth(0).inner_text()
    classifier = Classifier.load(root / "second", "cpu")
    for file in images[:2] + images[3:]:
        (label, value), *_ = classifier.predict([decode(file)])[0].probabilities.items()
        text = tiles.filter(has_text=file.name).inner_text()
        assert label.replace("_", " ") in text and f"{100 * value:.1f} %" in text
    shares = [float(text.split()[0]) for text in page.locator(".tiles .share").all_inner_texts()]
    assert shares == sorted(shares) and len(shares) == 3
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out

    tiles.nth(1).get_by_role("button").click()
    assert page.locator("dialog .answer li").count() == 5 and "2 of 4" in page.inner_text("dialog .file")
    page.keyboard.press("ArrowLeft")
    assert "cut.png is damaged" in page.inner_text("dialog .answer") and not page.locator("dialog img:visible").count()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="hidden")
    page.wait_for_function("document.activeElement.innerText.includes('cut.png')")  # of the image shown last


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
    assert table[2]["label"] == "" and "cut.png is damaged" in table[2]["error"]


def test_other_models_classify_all_of_them_again(page, images: list[Path]):
    """Another one, then a second one beside it."""
    drop(page, images, "classified by second")
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="first").click()
    page.get_by_text("4 images, classified by first").wait_for()
    page.get_by_role("button", name="Compare with a second model").click()
    page.get_by_text("the least certain first; second differs on").wait_for()


def test_removing_the_images_removes_the_results(page, images: list[Path]):
    drop(page, images[:2], "2 images, classified by second")
    page.get_by_role("button", name="Remove").click()
    page.locator(".tiles").wait_for(state="hidden")
    assert page.locator(".zone .invite").is_visible()


def test_more_than_the_limit_is_refused_before_anything_is_uploaded(page):
    png = saved(halves(), "PNG")
    page.set_input_files(
        ".zone input[type=file]", [{"name": f"{n}.png", "mimeType": "image/png", "buffer": png} for n in range(201)]
    )
    page.locator(".answer", has_text="201 images were chosen; at most 200").wait_for()


@pytest.mark.webcam
@on_both_screens
def test_accessibility(page, url: str, images: list[Path]):
    """axe-core, WCAG AA: empty, many images, one of them in the dialog, two models, and the webcam: about 10 s."""
    assert not serious(page)
    drop(page, images, "classified by second")
    assert not serious(page)
    page.locator(".tiles li button").last.click()
    page.locator("dialog .answer .what").wait_for()
    assert not serious(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Compare with a second model").click()
    page.get_by_role("button", name="example: rocket").click()
    page.locator(".answers.two .what").nth(1).wait_for()
    assert not serious(page)
    page.context.grant_permissions(["camera"], origin=url.rstrip("/"))
    page.get_by_role("button", name="Use the webcam").click()
    page.locator("video:visible").wait_for()
    page.locator(".answers .what").first.wait_for()
    assert not serious(page)


def test_one_request_is_limited(root: Path, images: list[Path]):
    """The page sends several; a program that sends more gets the first ones."""
    assert len(handler().classify(models(root), ["first"], [upload(images[0])] * 20)) == handler().BATCH
    assert [len(one.cards) for one in handler().classify(models(root), ["first"] * 9, [upload(images[0])])] == [2]


def test_names_are_escaped(root: Path, images: list[Path]):
    names = ("=1+1", "+1", "-1", "@x", "\t=1", "<img src=x onerror=alert(1)>", 'a,b\n"c"', "ok.png")
    answers = handler().classify(models(root), ["first"], [upload(images[0], name) for name in names])
    table = "".join(handler().csv_line(line) for line in (handler().COLUMNS, *(answer.row() for answer in answers)))
    assert [row["file"] for row in rows(table.encode())] == ["'=1+1", "'+1", "'-1", "'@x", "'\t=1", *names[5:]]
    assert "<img src=x" not in "".join(f"{answer.tile()}{answer.cards}" for answer in answers)


def test_a_model_of_two_classes_fills_the_table_too(tmp_path: Path, images: list[Path]):
    checkpoint(tmp_path / "two", labels=("yes", "=no"))
    (answer,) = handler().classify(models(tmp_path), ["two"], [upload(images[0])])
    (row,) = rows((handler().csv_line(handler().COLUMNS) + handler().csv_line(answer.row())).encode())
    assert {row["label"], row["label_2"]} == {"yes", "'=no"} and row["superclass"] == row["label_3"] == row[
        "error"
    ] == ""


def test_a_model_that_cannot_be_used_costs_only_its_own_answers(root: Path, images: list[Path]):
    (answer,) = handler().classify(models(root), ["first", "third"], [upload(images[0])])
    assert answer.prediction and "there is no model &#x27;third&#x27;" in answer.cards[1]


def test_malformed_requests_get_a_sentence(root: Path):
    for sent, says in (
        ({"frame": "data:text/html,x"}, "must be a data URL"),
        ({"frame": "data:image/png;base64,?"}, "not valid base64"),
        ({"frame": "data:image/png;base64," + "A" * 2_000_000}, "at most 400,000"),
        ({"example": "../raccoon"}, "there is no example"),
        ({"path": None}, "only uploaded images"),
        (None, "only uploaded images"),
    ):
        (answer,) = handler().classify(models(root), ["first"], [sent])
        assert says in answer.error and answer.prediction is None


def several(url: str, *payloads: dict) -> str:
    """Response of the page's own, private endpoint to a program."""
    config = httpx.get(f"{url}config").json()
    (zone,) = (part["id"] for part in config["components"] if part["props"].get("elem_id") == "zone")
    (call,) = (event["id"] for event in config["dependencies"] if [zone, "classify"] in event["targets"])
    event = {"id": 1, "images": payloads, "models": ["first"]}
    request = {"data": [], "event_data": event, "fn_index": call, "session_hash": "several"}
    joined = httpx.post(f"{url}gradio_api/queue/join", json=request)
    assert joined.status_code == 200, joined.text
    return httpx.get(f"{url}gradio_api/queue/data", params={"session_hash": "several"}, timeout=20).text


@pytest.mark.slow
def test_only_what_was_uploaded_is_opened(url: str, root: Path, images: list[Path]):
    """There is an image at `secret.png`."""
    (sent,) = httpx.post(f"{url}gradio_api/upload", files={"files": images[0].open("rb")}).json()
    assert "Answered by first" in several(url, {"path": sent})
    (root / "secret.png").write_bytes(saved(halves(), "PNG"))
    for path in (str(root / "secret.png"), f"{Path(sent).parent}/../../../{root}/secret.png", "/etc/passwd", ""):
        for payload in ({"path": path}, {"path": path, "url": f"file://{path}"}):
            response = several(url, payload)
            refused = "only uploaded images are accepted" in response or '"success":false' in response  # by Gradio
            assert refused and "Answered by" not in response


def test_only_files_in_the_upload_folder_are_uploads(tmp_path: Path):
    """Checked by our own code, where Gradio does not check."""
    from gradio.data_classes import FileData
    from gradio.utils import get_upload_folder

    from resnet_cifar.ui.classify.uploads import Upload, uploaded

    inside, outside = Path(get_upload_folder()) / "x" / "sent.png", tmp_path / "secret.png"
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.write_bytes(b"")
    outside.write_bytes(b"")
    assert uploaded(FileData(path=str(inside), orig_name="a/b.png")) == Upload(inside.resolve(), "a/b.png")
    (inside.parent / "link.png").symlink_to(outside)
    for path in (outside, inside.parent / "link.png", f"{inside.parent}/../../{outside}", "http://here/x.png", ""):
        with pytest.raises(Exception, match="only uploaded images"):
            uploaded(FileData(path=str(path), url=str(inside)))
    (inside.parent / "link.png").unlink()
    inside.unlink()
    with pytest.raises(Exception, match=r"sent.png is no longer available.*drop it again"):
        uploaded(FileData(path=str(inside)))
