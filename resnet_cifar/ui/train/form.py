"""The form of a new run as data: from a recipe to what is typed, and back to a recipe and its faults.

`form["recipe"]` has the shape of a recipe's JSON with text in place of each value; a part also has `like`, the index
of the part of `form["base"]` that it was copied from. A field whose text is unchanged keeps the base's exact value, and
so does a faulty one.
"""

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict
from typing import Any

from resnet_cifar import decode
from resnet_cifar.errors import UserError
from resnet_cifar.recipe.augmentation import Augmentation
from resnet_cifar.recipe.config import Change, Recipe, Stage
from resnet_cifar.recipe.datasets import OWN, OwnData
from resnet_cifar.ui.train.fields import FIELDS, OF_RUN, Field, parsed, text_of

Form = dict[str, Any]
Tree = dict[str, Any]
"""Values of a dataclass and of its parts, by field; like its JSON, but with tuples of groups as they are."""
Path = tuple[str | int, ...]
Faults = dict[str, str]
"""Error messages by path, such as `stages.0.lr`."""

_LONGEST_FILE = 1_000_000  # characters
_TITLES = {field.name: field.title for fields in FIELDS.values() for field in fields}
_FLAG = re.compile(r"--([a-z]+(?:-[a-z]+)*)")
_NAMED = re.compile(rf"\b({'|'.join(name for name in _TITLES if '_' in name)})\b")
_FIRST = re.compile(r"^(?:progression: )?([a-z_]+)(?= is )|\baugmentation\.([a-z_]+)")
# A valid dataclass around a single field, so that the field can be checked by itself.
_AROUND: dict[type, dict[str, Any]] = {
    Recipe: {"name": "recipe", "stages": (Stage(name="stage", epochs=1, lr=0.1),), "val_images": 0},
    Stage: {"name": "stage", "epochs": 10_000, "lr": 0.1},
    Change: {"after": 0.5},
    Augmentation: {},
}


def form_of(recipe: Recipe, source: str = "", images: str | None = None) -> Form:
    """Return the form of a recipe.

    source: where it comes from, if it is not one of the named recipes. images: path of a person's own images, empty
    before they have been read; None for other data.
    """
    tree = _tree(recipe)
    stages = [_stage_texts(stage, number) for number, stage in enumerate(tree["stages"])]
    run = dict.fromkeys((field.name for field in OF_RUN), "")
    return {
        "base": json.loads(recipe.to_json()),
        "recipe": texts(Recipe, tree) | {"stages": stages},
        "run": run,
        "source": source,
        "images": images,
    }


def form_of_file(question: Any) -> Form:
    """Return the form of a recipe in a file, given its `name` and `text`."""
    text = str(question["text"])
    if len(text) > _LONGEST_FILE:
        raise UserError(f"{question['name']} has {len(text):,} characters, which is too long for a recipe.")
    try:
        return form_of(Recipe.from_json(text), f"file {question['name']}")
    except RecursionError as error:
        raise UserError(f"{question['name']} is not a recipe: it is nested too deeply.") from error


def _tree(recipe: Recipe) -> Tree:
    """Values of a recipe, with lists of its parts, which can be changed."""
    tree = asdict(recipe)
    stages = [stage | {"progression": list(stage["progression"])} for stage in tree["stages"]]
    return tree | {"stages": stages}


def _stage_texts(stage: Tree, like: int) -> dict[str, Any]:
    changes = [
        texts(Change, change)
        | {"augmentation": change["augmentation"] and texts(Augmentation, change["augmentation"]), "like": number}
        for number, change in enumerate(stage["progression"])
    ]
    augmentation = texts(Augmentation, stage["augmentation"])
    return texts(Stage, stage) | {"augmentation": augmentation, "progression": changes, "like": like, "typed": []}


def texts(kind: type, tree: Tree) -> dict[str, str]:
    """Return the text of each plain field of a dataclass."""
    return {field.name: text_of(field, tree[field.name]) for field in FIELDS[kind]}


def recipe_of(form: Form, weights: Callable[[str], str] = str) -> tuple[Recipe, Faults]:
    """Return the recipe that a form describes, and the faults in it.

    `weights` turns what is typed for weights into a path, or raises UserError. Raises UserError if the base of the
    form is not a recipe.
    """
    base = _tree(decode.build(Recipe, form["base"], "recipe"))
    reader = _Reader(weights)
    typed = form["recipe"]
    draft = reader.fields(Recipe, typed, base, ())
    stages = [(row, base["stages"][_index(row, base["stages"]) or 0]) for row in typed["stages"]]
    draft["stages"] = [reader.stage(row, like, ("stages", number)) for number, (row, like) in enumerate(stages)]
    draft["own"] = base["own"] if draft["data"] == OWN else None  # a data set has no facts of a person's own images
    ground = base | {"stages": [deepcopy(like) for _, like in stages]} | {name: draft[name] for name in ("data", "own")}
    recipe, others = _combined(ground, draft)
    return recipe, reader.faults | others


class _Reader:
    """Reads the text of each field and checks it by itself; a faulty field keeps the value of the base."""

    def __init__(self, weights: Callable[[str], str]) -> None:
        self._weights = weights
        self.faults: Faults = {}

    def fields(self, kind: type, typed: dict[str, Any], base: Tree, path: Path) -> Tree:
        """Read the plain fields of a dataclass."""
        return {field.name: self._field(kind, field, typed, base[field.name], path) for field in FIELDS[kind]}

    def stage(self, typed: dict[str, Any], base: Tree, path: Path) -> Tree:
        """Read a stage. A new change with a fault is left out."""
        changes = []
        for number, row in enumerate(typed["progression"]):
            index, here = _index(row, base["progression"]), (*path, "progression", number)
            like = base["progression"][index] if index is not None else asdict(Change(after=0.5))
            before = len(self.faults)
            change = self.fields(Change, row, like, here)
            change["augmentation"] = row["augmentation"] and self._augmentation(
                row["augmentation"], like["augmentation"], (*here, "augmentation")
            )
            if index is not None or len(self.faults) == before:
                changes.append(change)
        augmentation = self._augmentation(typed["augmentation"], base["augmentation"], (*path, "augmentation"))
        return self.fields(Stage, typed, base, path) | {"augmentation": augmentation, "progression": changes}

    def _augmentation(self, typed: dict[str, Any], base: Tree | None, path: Path) -> Tree:
        return self.fields(Augmentation, typed, base or asdict(Augmentation()), path)

    def _field(self, kind: type, field: Field, typed: dict[str, Any], kept: Any, path: Path) -> Any:
        text = str(typed.get(field.name, text_of(field, kept)))
        if text == text_of(field, kept):
            return kept
        try:
            value = parsed(field, text)
            if field.kind == "weights" and value is not None:
                value = self._weights(value)
            kind(**_AROUND[kind] | {field.name: value})
        except UserError as error:
            self.faults[_joined((*path, field.name))] = in_words(error)
            return kept
        return value


def _index(row: dict[str, Any], parts: Any) -> int | None:
    """Index of the part that a row was copied from; None for a new one."""
    like = row.get("like")
    return like if isinstance(like, int) and 0 <= like < len(parts) else None


def _combined(ground: Tree, draft: Tree) -> tuple[Recipe, Faults]:
    """Build the draft. If its fields contradict each other, change a valid recipe field by field as far as possible."""
    try:
        return _built(draft), {}
    except UserError:
        pass
    tree, recipe = ground, _built(ground)
    errors: dict[Path, UserError] = {}
    pending = list(_differences(ground, draft))
    while pending:
        errors = {}
        for path in pending:
            kept = _swap(tree, path, _at(draft, path))
            try:
                recipe = _built(tree)
            except UserError as error:
                errors[path] = error
                _swap(tree, path, kept)
        if len(errors) == len(pending):  # else a field may be valid now that another one has changed
            break
        pending = list(errors)
    names = [stage["name"] for stage in draft["stages"]]
    return recipe, {_joined(path): in_words(error, names) for path, error in errors.items()}


def _built(tree: Tree) -> Recipe:
    stages = []
    for stage in tree["stages"]:
        changes = (
            Change(**change | {"augmentation": change["augmentation"] and Augmentation(**change["augmentation"])})
            for change in stage["progression"]
        )
        parts = {"augmentation": Augmentation(**stage["augmentation"]), "progression": tuple(changes)}
        stages.append(Stage(**stage | parts))
    return Recipe(**tree | {"stages": tuple(stages), "own": tree["own"] and OwnData(**tree["own"])})


def _differences(ground: Any, draft: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of all values that differ. Lists of different lengths differ as a whole."""
    if isinstance(ground, dict) and isinstance(draft, dict):
        for key in draft:
            yield from _differences(ground[key], draft[key], (*path, key))
    elif isinstance(draft, list) and len(ground) == len(draft):
        for number, (old, new) in enumerate(zip(ground, draft, strict=True)):
            yield from _differences(old, new, (*path, number))
    elif ground != draft:
        yield path


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _swap(tree: Tree, path: Path, value: Any) -> Any:
    """Replace the value at a path; returns the one that was there."""
    holder = _at(tree, path[:-1])
    kept, holder[path[-1]] = holder[path[-1]], value
    return kept


def _joined(path: Path) -> str:
    return ".".join(map(str, path))


def in_words(error: UserError, stages: list[str] | None = None) -> str:
    """Return an error's message with the titles that the page shows in place of names of fields and flags."""
    message = str(error)
    for name in ("stage", *(stages or ())):
        message = message.removeprefix(f"{name}: ")
    message = _FIRST.sub(lambda found: _TITLES.get(found[1] or found[2], found[0]), message)
    message = _FLAG.sub(lambda found: _TITLES.get(found[1].replace("-", "_"), found[0]), message)
    message = _NAMED.sub(lambda found: _TITLES[found[1]], message)
    return message[:1].upper() + message[1:]


def titled(path: str) -> str:
    """Return where a fault is, such as `Stage 2: `; empty outside the stages."""
    first, *rest = path.split(".")
    return f"Stage {int(rest[0]) + 1}: " if first == "stages" else ""
