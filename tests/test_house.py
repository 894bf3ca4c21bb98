"""The rules of the house that a reader can't see at a glance."""

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any, TypeGuard

from tests.builders import ROOT

PACKAGE = ROOT / "resnet_cifar"
LINE = re.compile(r"^( *)(\S+?)(/?)  +\S")


def tree() -> list[str]:
    """The files that the README's tree names, in its order."""
    readme = (ROOT / "README.md").read_text()
    block = readme.split("<!-- tree -->")[1].split("```")[1]
    files, folders = [], [""]
    for line in block.splitlines():
        if found := LINE.match(line):
            indent, name, is_folder = found.groups()
            depth = len(indent) // 2
            path = folders[depth] + name
            if is_folder:
                folders[depth + 1 :] = [path + "/"]
            else:
                files.append(path)
    return files


def imports(file: Path) -> set[str]:
    """Files of the package that a file imports, wherever in it, as the tree names them."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "resnet_cifar":
            module = node.module.replace(".", "/")
            is_file = (ROOT / f"{module}.py").exists()
            found |= {f"{module}.py"} if is_file else {f"{module}/{alias.name}.py" for alias in node.names}
    return found


def test_the_readmes_tree_names_every_file_and_no_other():
    named = [file for file in tree() if file.startswith(("resnet_cifar/", "benchmarks/"))]
    there = [*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py"), *(ROOT / "benchmarks").glob("*.sh")]
    assert sorted(named) == sorted(str(file.relative_to(ROOT)) for file in there if file.name != "__init__.py")


def test_a_module_imports_only_what_stands_above_it_in_the_tree():
    order = [file for file in tree() if file.startswith("resnet_cifar/")]
    for position, name in enumerate(order):
        below = imports(ROOT / name) - set(order[:position])
        assert not below, f"{name} imports {below}"


def foreign(file: Path) -> set[str]:
    """Top-level names of what a file imports from outside the package, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def rooms(*names: str) -> list[Path]:
    """All files of some packages; those of the package itself for ``."""
    return [file for name in names for file in ((PACKAGE / name).rglob("*.py") if name else PACKAGE.glob("*.py"))]


def test_packages_import_only_from_packages_above_them():
    folders = [file.split("/")[1] for file in tree() if file.startswith("resnet_cifar/") and file.count("/") > 1]
    order = list(dict.fromkeys(folders))
    assert sorted(order) == sorted(folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists())
    for name in order:
        for file in rooms(name):
            used = {other.split("/")[1] for other in imports(file) if other.count("/") > 1}
            assert used <= set(order[: order.index(name) + 1]), file


def test_only_the_page_knows_gradio():
    others = {folder.name for folder in PACKAGE.iterdir() if folder.is_dir()} - {"ui", "__pycache__"}
    for file in rooms("", *others):
        assert "gradio" not in foreign(file), file


def test_one_file_knows_gradios_queue():
    knows = re.compile(r"concurrency_|[\"']queue[\"']|queue=|max_size=\d")
    assert [file.name for file in (PACKAGE / "ui").rglob("*.py") if knows.search(file.read_text())] == ["options.py"]


def test_what_a_run_is_asked_and_what_it_left_can_be_read_without_torch():
    """Reports too, but for Pillow and plotly; and plotly stays there and on the page."""
    for file in rooms("", "recipe", "runs", "report"):
        assert not foreign(file) & {"torch", "torchvision", "safetensors", "tqdm", "huggingface_hub"}, file
    for file in rooms(
        "", "recipe", "system", "data", "runs", "model", "engine", "inspection", "hub", "training", "cli"
    ):
        assert "plotly" not in foreign(file), file
    standard = {*sys.stdlib_module_names, "resnet_cifar"}
    for file in rooms("", "recipe", "runs"):
        assert foreign(file) <= standard, file


def test_the_engine_touches_no_file_no_clock_no_screen_and_knows_no_runs():
    for file in rooms("engine"):
        assert not foreign(file) & {"io", "json", "logging", "os", "pathlib", "shutil", "sys", "time", "datetime"}, file
        calls = {node.func.id for node in ast.walk(ast.parse(file.read_text())) if is_plain_call(node)}
        assert not calls & {"open", "print", "input"}, file
        used = {other.split("/")[1] for other in imports(file)}
        assert used <= {"errors.py", "events.py", "recipe", "system", "data", "model", "engine"}, file
        assert "resnet_cifar/system/files.py" not in imports(file)


def is_plain_call(node: ast.AST) -> TypeGuard[Any]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def test_one_place_goes_up_from_its_own_path():
    for file in rooms("", *(folder.name for folder in PACKAGE.iterdir() if folder.is_dir())):
        assert ("parent.parent" in file.read_text()) is (file.name == "paths.py"), file


def test_importing_a_package_imports_nothing_else():
    for file in PACKAGE.rglob("__init__.py"):
        assert not imports(file) and not foreign(file), file


def test_files_are_short_and_functions_fit_a_screen():
    for file in [*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py"), ROOT / "app.py"]:
        text = file.read_text()
        assert len(text.splitlines()) <= 250, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 50, f"{file}: {node.name}"


def test_requirements_are_the_six_that_were_agreed_on():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    names = {re.split(r"[<>=\[ ]", line)[0] for line in lines if line and not line.startswith("#")}
    assert names == {"gradio", "torch", "torchvision", "huggingface-hub", "safetensors", "plotly"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT" and "MIT License" in (ROOT / "LICENSE").read_text()
