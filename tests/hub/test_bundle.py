"""The upload folder: no local path in any of its files, and JSON that any parser reads."""

import errno
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from resnet_cifar.events import EpochEnded, Metrics, RunStarted
from resnet_cifar.hub.bundle import bundle
from resnet_cifar.report.figures import figure
from resnet_cifar.report.series import as_csv
from resnet_cifar.runs.record import Record
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.training.failures import failure
from tests.builders import CPU, of_kind

ELSEWHERE = "/home/Jo Smith, PhD/data sets/cifar"


def published(run: RunDir) -> dict[str, str]:
    """Text of each file of a run's upload folder, but for the weights and the plot."""
    with bundle(run, "me/tiny") as folder:
        return {file.name: file.read_text() for file in folder.iterdir() if file.suffix in (".json", ".jsonl", ".md")}


def published_reason(run: RunDir, error: Exception) -> str:
    """What an upload says of a run that ended with `error`."""
    failed = failure(error, run, run.recipe().stages[0], 32, CPU)
    run.append(failed)
    texts = published(run)
    assert not [name for name, text in texts.items() if "Jo Smith" in text or str(run.path.parent) in text]
    return json.loads(texts["metrics.jsonl"].splitlines()[-1])["reason"]


def test_only_what_others_need_is_published(run: RunDir):
    """Not the predictions, which are made again from the weights, nor anything else that lies in the folder."""
    (run.path / "inspection").mkdir()
    (run.path / "inspection" / "test.safetensors").write_bytes(b"predictions")
    with bundle(run, "me/tiny") as folder:
        assert {file.name for file in folder.iterdir()} == {
            *(
                "README.md",
                "config.json",
                "curves.png",
                "eval.json",
                "metrics.jsonl",
                "model.safetensors",
                "recipe.json",
                "unknown.safetensors",
            )
        }


def test_a_reason_keeps_its_words_and_loses_the_folders_of_the_run(run: RunDir):
    full = OSError(errno.ENOSPC, "No space left on device", str(run.last_file))
    assert published_reason(run, full) == "OSError: [Errno 28] No space left on device: 'last.safetensors'"
    memory = published_reason(run, MemoryError())
    assert memory.startswith("out of memory in stage 'everything'") and "--resume tiny" in memory


def test_a_reason_loses_the_folders_that_the_run_was_given(run: RunDir):
    run.append(RunStarted(recipe="tiny", device="cpu", precision="fp32", data_dir=ELSEWHERE))
    run.recipe_file.write_text(replace(run.recipe(), init="/home/Jo Smith, PhD/a start.pth").to_json())
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", f"{ELSEWHERE}/train")
    assert published_reason(run, missing) == "FileNotFoundError: [Errno 2] No such file or directory: 'train'"
    odd = ValueError("'/home/Jo Smith, PhD/a start.pth' is odd")
    assert published_reason(run, odd) == "ValueError: 'a start.pth' is odd"
    neighbour = ValueError(f"{ELSEWHERE}2/train is odd")
    assert published_reason(run, neighbour) == "removed before publishing: it names local files."


@pytest.mark.parametrize(
    "path",
    [
        "/home/Jo Smith, PhD/x",
        "~/Jo Smith/x",
        "../Jo Smith/x",
        "file:///home/Jo Smith/x",
        "//home/Jo Smith/x",
        "PATH=/home/Jo Smith/x",
        "(/home/Jo Smith/x)",
    ],
)
def test_a_reason_with_any_other_path_is_not_published(run: RunDir, path: str):
    assert published_reason(run, ValueError(f"{path} is odd")) == "removed before publishing: it names local files."


@pytest.mark.parametrize(
    "text", ["see https://pytorch.org/docs", "the loss became nan at 3/4 of the and/or 12 images/s"]
)
def test_a_reason_without_a_path_stays_as_it_is(run: RunDir, text: str):
    assert published_reason(run, ValueError(text)) == f"ValueError: {text}"


def test_what_a_recipe_is_about_names_no_local_path(run: RunDir):
    run.recipe_file.write_text(replace(run.recipe(), about=f"as in {ELSEWHERE}/notes.txt", teacher="/x/big").to_json())
    recipe = json.loads(published(run)["recipe.json"])
    assert recipe["about"] == "removed before publishing: it names local files." and recipe["teacher"] == "big"


def parse(text: str) -> Any:
    """Parse JSON as others do: NaN and Infinity, which Python writes, are refused."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_values_that_are_not_finite_are_published_as_null(run: RunDir):
    results = json.loads(run.eval_file.read_text()) | {"loss": float("nan")}
    run.eval_file.write_text(json.dumps(results))
    *_, ended = of_kind(EpochEnded, [event for event, _ in run.history()])
    run.append(replace(ended, ema_val=Metrics(loss=float("inf"), top1=0.1, top5=0.5)))
    texts = published(run)
    assert parse(texts["eval.json"]) == results | {"loss": None}
    assert parse(texts["metrics.jsonl"].splitlines()[-1])["ema_val"] == {"loss": None, "top1": 0.1, "top5": 0.5}
    for line in texts["metrics.jsonl"].splitlines():
        parse(line)
    assert "| loss | not finite |" in texts["README.md"]
    with bundle(run, "me/tiny") as folder:
        assert published(RunDir(folder)) == texts  # as a Space does, which publishes what was published there
        record = Record(RunDir(folder)).read()
        assert math.isnan(record.events.epochs[-1].ema_val.loss)
        assert figure([record], "epoch").data and as_csv([record])
