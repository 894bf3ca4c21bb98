import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_cifar.data.images import centre_square, decode
from resnet_cifar.errors import UserError
from tests.awkward import BAD, GOOD, GREEN, RED, halves, saved
from tests.builders import ROOT


@pytest.mark.parametrize("name", GOOD)
def test_an_awkward_image_is_upright_on_white_and_its_first_frame(name: str):
    content, upper, lower = GOOD[name]
    image = decode(content(), name)
    assert image.mode == "RGB"
    for colour, height in ((upper, 0.25), (lower, 0.75)):
        found = image.getpixel((image.width // 2, int(image.height * height)))
        assert np.abs(np.subtract(found, colour)).max() <= 12, f"{found} where {colour} should be"


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_gets_one_sentence(name: str):
    content, says = BAD[name]
    with pytest.raises(UserError) as refusal:
        decode(content(), name)
    sentence = str(refusal.value)
    assert sentence.startswith(name) and says in sentence and "\n" not in sentence


def test_files_are_read_as_their_bytes_are(tmp_path: Path):
    content = GOOD["plain.png"][0]()
    (tmp_path / "image.png").write_bytes(content)
    assert decode(tmp_path / "image.png") == decode(content)
    with pytest.raises(UserError, match="there is no file"):
        decode(tmp_path / "nothing.png")
    with pytest.raises(UserError, match="^cannot read .*: Is a directory"):
        decode(tmp_path)


def test_the_middle_square_is_taken():
    image = Image.new("RGB", (300, 100), RED)
    image.paste(GREEN, (100, 0, 200, 100))
    assert centre_square(image, 32).getcolors() == [(32 * 32, GREEN)]


@pytest.mark.process
def test_large_images_take_little_memory(tmp_path: Path):
    """Four images of 24 megapixels, each in a Python process of its own: about 6 s."""
    kinds = {
        "rgba.png": saved(halves((4900, 5000), "RGBA"), "PNG", compress_level=1),
        "rgb.jpg": saved(halves((4900, 5000)), "JPEG"),
        "cmyk.jpg": saved(halves((4900, 5000), "CMYK"), "JPEG"),
        "palette.gif": saved(halves((4900, 5000)).quantize(4), "GIF"),
    }
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom resnet_cifar.data.images import decode\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\ndecode(Path(sys.argv[1]))\nprint((peak() - before) // 1024)"
    )
    for name, content in kinds.items():
        (tmp_path / name).write_bytes(content)
        command = [sys.executable, "-c", script, str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        assert int(done.stdout) <= 200, f"{name}: {done.stdout} MiB"
