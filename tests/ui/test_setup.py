"""The form of a new run, called as plain functions."""

from pathlib import Path

import gradio as gr
import pytest
from gradio.context import LocalContext

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.presets import RECIPES
from resnet_cifar.runs import locks
from resnet_cifar.runs.record import Records
from resnet_cifar.system.device import identity
from resnet_cifar.training.estimate import Estimates
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.clock import Clock
from resnet_cifar.ui.rights import Rights
from resnet_cifar.ui.shown import stamp
from resnet_cifar.ui.train.cards import cards
from resnet_cifar.ui.train.form import Form, form_of
from resnet_cifar.ui.train.setup import Setup
from resnet_cifar.ui.train.where import HERE
from tests.builders import CPU, checkpoint, recipe, staged_recipe, told
from tests.hub.login import request_of


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    launcher, records = Launcher(tmp_path, CPU), Records(tmp_path)
    with gr.Blocks():
        return Setup(launcher, records, Models(tmp_path, Rights()), Estimates(records, CPU), Rights(), Clock())


def form(data_dir: str = "", name: str = "", **cells: str) -> Form:
    """`quick` with changed fields in its first stage."""
    filled = form_of(RECIPES["quick"])
    filled["recipe"]["stages"][0] |= cells
    filled["run"] |= {"data_dir": data_dir, "name": name}
    return filled


def answer_to(filled: Form) -> list:
    """What the browser holds of a final answer."""
    return [stamp((filled, HERE)), True]


def test_a_final_answer_is_not_repeated(setup: Setup, tmp_path: Path):
    wrong = form(str(tmp_path / "nowhere"))
    shown, line, answered = setup.answer(None, wrong)
    assert list(shown["faults"]) == ["run.data_dir"] and "nowhere" in line and answered == answer_to(wrong)
    assert setup.answer(answered, wrong) == (gr.skip(),) * 3


def test_an_answer_to_an_earlier_form_is_replaced_at_the_next_tick(setup: Setup, tmp_path: Path):
    """The faults at the fields too."""
    late = answer_to(form(str(tmp_path / "nowhere")))
    shown, line, answered = setup.answer(late, form(epochs="many"))
    assert list(shown["faults"]) == ["stages.0.epochs"]
    assert "Stage 1: Epochs is &#x27;many&#x27;; it must be a whole number." in line
    assert answered == answer_to(form(epochs="many"))


def test_data_is_hashed_once_as_long_as_its_files_are_the_same(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hashed: list[Path] = []
    monkeypatch.setattr("resnet_cifar.ui.train.data_folder.find", hashed.append)
    (tmp_path / "cifar-100-python").mkdir()
    with locks.locked(locks.device_file(identity(CPU)), "a run"):  # so that the estimate stays pending
        answered = None
        for changed in (form(str(tmp_path)), form(str(tmp_path), epochs="7")):
            for _ in range(5):
                _, line, answered = setup.answer(answered, changed)
                assert "when the current run has ended" in line
        assert len(hashed) == 1
        (tmp_path / "cifar-100-python" / "train").write_text("changed")
        setup.answer(answered, form(str(tmp_path), epochs="8"))
        (tmp_path / "cifar100-hub.safetensors").write_text("changed")
        setup.answer(answered, form(str(tmp_path), epochs="9"))
    assert len(hashed) == 3


def test_the_name_and_the_notes_of_the_run_are_checked(setup: Setup, tmp_path: Path):
    told(tmp_path / "taken", recipe())
    for name, says in (("taken", "already a run 'taken'"), ("a/b", "not a valid name"), ("mine", None)):
        wanted = setup.requested(form(name=name))
        assert wanted.name == name and (says or "") in wanted.faults.get("run.name", "")
        assert bool(wanted.faults) is bool(says)
    long = form()
    long["run"]["notes"] = "a" * 5_000
    assert "5000 characters" in setup.requested(long).faults["run.notes"]


def test_models_are_weights_by_name(setup: Setup, tmp_path: Path):
    checkpoint(tmp_path / "mine")
    filled = form()
    filled["recipe"] |= {"init": "mine", "teacher": "mine"}
    wanted = setup.requested(filled)
    assert (wanted.recipe.init, wanted.recipe.teacher) == (str(tmp_path / "mine"),) * 2
    filled["recipe"]["init"] = " "
    assert "Initial weights is empty" in setup.requested(filled).faults["init"]


@pytest.mark.parametrize("broken", [{}, {"base": 1, "recipe": {}}, {"base": None}, None])
def test_a_form_that_cannot_be_read_gets_a_sentence(setup: Setup, broken):
    with pytest.raises(UserError):
        setup.requested(broken)


def asked(setup: Setup, name: str, question: object) -> dict:
    return next(answer for answer in setup._answers() if answer.__name__ == name)(question)


def test_a_form_is_filled_from_a_run_and_from_a_file(setup: Setup, tmp_path: Path):
    earlier = staged_recipe(seed=5)
    told(tmp_path / "earlier", earlier)
    assert asked(setup, "run_names", {}) == {"answer": ["earlier"]}
    filled = asked(setup, "recipe_of_run", "earlier")["answer"]
    assert setup.requested(filled).recipe == earlier and filled["source"] == "run earlier"
    assert "there is no run 'gone'" in asked(setup, "recipe_of_run", "gone")["error"]
    text = asked(setup, "file_of_recipe", filled)["answer"]
    again = asked(setup, "recipe_of_file", {"name": "mine.json", "text": text})["answer"]
    assert setup.requested(again).recipe == earlier and again["source"] == "file mine.json"
    for bad, says in (
        ("{", "not JSON"),
        ('{"name": "x"}', "'stages' is missing"),
        ("[" * 100_000, "nested more than 16 levels deep"),
    ):
        assert says in asked(setup, "recipe_of_file", {"name": "bad.json", "text": bad})["error"]
    filled["recipe"]["seed"] = "x"
    assert "Seed is 'x'" in asked(setup, "file_of_recipe", filled)["error"]


def test_the_images_of_a_stage_are_shown_before_and_after(setup: Setup):
    filled = form(epochs="4")
    filled["recipe"] |= {"data": "synthetic", "train_images": ""}
    (stage,) = filled["recipe"]["stages"]
    strong = form_of(RECIPES["scratch"])["recipe"]["stages"][0]["augmentation"]
    stage["progression"] = [{"after": "0.5", "image_size": "64", "augmentation": strong}]
    found = asked(setup, "stage_images", {"form": filled, "stage": 0, "seed": 0})["answer"]
    before, first, second = found["strips"]
    assert [strip["title"] for strip in found["strips"]] == ["Before", "Epochs 1 to 2", "Epochs 3 to 4"]
    assert len(before["images"]) == len(first["images"]) == len(second["images"]) == 8
    assert first["images"] != before["images"] != second["images"] and "synthetic" in found["source"]
    assert all(url.startswith("data:image/png;base64,") for url in before["images"])
    other = asked(setup, "stage_images", {"form": filled, "stage": 0, "seed": 1})["answer"]["strips"]
    assert other[0] == before and other[2] != second
    stage["epochs"] = "x"
    assert "Correct the marked fields" in asked(setup, "stage_images", {"form": filled, "stage": 0, "seed": 0})["error"]


def test_only_those_who_may_train_get_answers(tmp_path: Path):
    launcher, records, closed = Launcher(tmp_path, CPU), Records(tmp_path), Rights("not today")
    told(tmp_path / "secret", recipe(init="/a/local/path"))
    with gr.Blocks():
        setup = Setup(launcher, records, Models(tmp_path, closed), Estimates(records, CPU), closed, Clock())
    for answer in setup._answers():
        with pytest.raises(gr.Error, match="not today"):
            answer("secret")
    assert setup.answer(None, form()) == (gr.skip(), "", answer_to(form()))


def test_a_machine_that_cannot_train_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Estimates, "of", lambda *_: pytest.fail("a trial"))
    launcher, records, rights = Launcher(tmp_path, CPU), Records(tmp_path), Rights("x", "me", why_no_training="No GPU.")
    LocalContext.request.set(request_of("me"))
    with gr.Blocks():
        setup = Setup(launcher, records, Models(tmp_path, rights), Estimates(records, CPU), rights, Clock())
    shown, line, answered = setup.answer(None, form(), None)
    assert not shown["faults"] and "Choose hardware under" in line and answered[1]
    assert "No GPU." in asked(setup, "find_rate", {"form": form(), "stage": 0})["error"]


def test_recipes_say_what_they_learn_from_and_what_they_cost(setup: Setup, tmp_path: Path):
    shown = {card["name"]: card for card in cards()}
    assert shown.keys() == {*RECIPES, "own"}
    assert shown["quick"]["data"].startswith("12,000 of 50,000 images, 3 epochs")
    assert "ImageNet" in shown["transfer"]["start"] and "3 stages" in shown["transfer"]["data"]
    costs = asked(setup, "recipe_costs", {})["answer"]
    assert {cost["text"] for cost in costs.values()} == {"not measured yet"}


@pytest.mark.parametrize("question", [None, "x", [], {}, {"form": {}, "stage": "x"}, {"form": None, "stage": 10**400}])
def test_an_odd_question_of_a_page_gets_a_sentence(setup: Setup, question: object):
    for answer in setup._answers():
        told = answer(question)
        assert "answer" in told or len(told["error"]) > 20, answer.__name__
