"""Damaged files: whatever a run's folder holds, it is shown, used or refused in a sentence, and hurts no other run."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from resnet_cifar.events import EpochEnded
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.session import train
from tests.builders import CPU, recipe
from tests.faults import damage
from tests.faults.conftest import LONG
from tests.faults.looks import REFUSALS, USES, VIEWS, classify, publish

pytestmark = pytest.mark.slow  # harms files, and looks at runs, some hundred times

FILES = (
    *("recipe.json", "config.json", "metrics.jsonl", "eval.json", "notes.json", "queued.json", "train.log", ".lock"),
    *("last.safetensors", "model.safetensors", "unknown.safetensors", "README.md", "stop"),
)
_TYPED = [file for file in FILES if file.endswith((".json", ".jsonl", ".safetensors"))]
Counts = Counter[tuple[str, str]]
_PHASES = (Phase.generate, Phase.shrink)  # what hypothesis can explain beyond that takes minutes here


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A completed run, and one that was stopped and has every file that a run can have."""
    folder = tmp_path_factory.mktemp("damage") / "runs"
    for name in ("good", "hurt"):
        run = RunDir.create(folder / name, recipe())
        for event in train(run, device=CPU, data_dir=None):
            if name == "hurt" and isinstance(event, EpochEnded):
                run.stop_file.touch()
    for name in ("eval.json", "unknown.safetensors"):
        shutil.copy(folder / "good" / name, folder / "hurt" / name)
    for name in ("train.log", "README.md"):
        (folder / "hurt" / name).write_text("text\n")
    return folder


def content_of(root: Path, file: str) -> bytes:
    """What the file holds while it is whole; the queue's and the request to stop only exist while they are harmed."""
    if file == "queued.json":
        return json.dumps({"data_dir": None, "processes": 1, "time": 1.0}).encode()
    return b"" if file == "stop" else (root / "hurt" / file).read_bytes()


def examine(root: Path, fault: str, harm: Callable[[Path], None], file: str, counted: Counts) -> None:
    """Harm a file, look at the runs in every way, and mend the run."""
    hurt = root / "hurt"
    whole, before = shutil.copytree(hurt, root.parent / "whole"), VIEWS[0](root, "hurt")
    counted[fault, "examples"] += 1
    try:
        harm(hurt / file)
        seen = [look(root, "hurt") for look in VIEWS]
        assert seen[0] == before
        for use in USES if LONG else [one for one in USES if one is not publish]:  # which takes as long as the rest
            try:
                use(root, "hurt")
                counted[fault, "used"] += 1
            except REFUSALS as refusal:
                assert len(str(refusal)) > 20 and "Traceback" not in str(refusal)
                assert len(str(refusal)) < 4000, "a sentence, not the file"
                counted[fault, "refused"] += 1
    except BaseException:
        counted[fault, "raised"] += 1
        raise
    finally:
        shutil.rmtree(hurt)
        whole.rename(hurt)


def written(content: bytes) -> Callable[[Path], None]:
    return lambda file: (file.unlink(missing_ok=True), file.write_bytes(content), None)[-1]


def some(short: int) -> Callable[[Any], Any]:
    """Settings of a test: the same examples each time in the short form, others in the long one."""
    return settings(max_examples=LONG or short, derandomize=not LONG, phases=_PHASES, deadline=None, database=None)


@pytest.mark.parametrize("fault", damage.IN_PLACE)
def test_something_else_in_place_of_a_file(root: Path, counted: Counts, fault: str):
    """Of each file in the long form, of one each in the short one."""
    for file in FILES if LONG else (_SHORT[fault],):
        examine(root, f"in place of a file: {fault}", damage.IN_PLACE[fault], file, counted)


_SHORT = {
    "a folder": "metrics.jsonl",
    "nothing": "last.safetensors",
    "a link to itself": "recipe.json",
    "a link to nothing": "config.json",
    "a link to /dev/zero": "README.md",
    "a pipe that nobody fills": ".lock",
    "20 GB of zeros": "model.safetensors",
}

KINDS: dict[str, tuple[int, Callable[[str, bytes], st.SearchStrategy[bytes]]]] = {
    "a foreign value": (12, damage.foreign),
    "changed bytes": (3, lambda _, content: damage.flipped(content)),
    "cut off": (3, lambda _, content: damage.cut(content)),
    "filled with something else": (3, lambda _, content: damage.filled(content)),
}


@pytest.mark.parametrize("fault", KINDS)
def test_a_damaged_file(root: Path, counted: Counts, fault: str):
    number, kind = KINDS[fault]

    @some(number)
    @given(st.data())
    def examples(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(FILES))
        content = data.draw(kind(file, content_of(root, file)))
        examine(root, fault, written(content), file, counted)

    examples()


def test_a_wrong_model_is_never_served_in_silence(root: Path):
    """Whatever byte of the weights is changed. A changed header may be refused, too, or change nothing."""
    model = root / "hurt" / "model.safetensors"
    content, right = model.read_bytes(), classify(root, "hurt")
    header = 8 + int.from_bytes(content[:8], "little")

    @some(6)
    @given(place=st.integers(header, len(content) - 1), other=st.integers(0, header - 1), bits=st.integers(1, 255))
    def examples(place: int, other: int, bits: int) -> None:
        for where in (place, other):
            harmed = bytearray(content)
            harmed[where] ^= bits
            model.write_bytes(harmed)
            try:
                assert classify(root, "hurt") == right and where < header
            except REFUSALS:
                pass
            finally:
                model.write_bytes(content)

    examples()
