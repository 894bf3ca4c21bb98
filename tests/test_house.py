"""The rules of the house that a reader can't see at a glance."""

import ast
import re
import tomllib
from pathlib import Path

from tests.conftest import ROOT

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


def test_only_the_page_knows_gradio():
    for file in tree():
        if file.endswith(".py") and "/ui/" not in file:
            assert not re.search(r"^\s*(import|from) gradio\b", (ROOT / file).read_text(), re.MULTILINE), file


def test_words_need_no_torch():
    words = tree()[: tree().index("resnet_cifar/device.py")]
    for name in words:
        if name.startswith("resnet_cifar/"):
            assert not re.search(r"^\s*(import|from) (torch|tqdm|safetensors)", (ROOT / name).read_text(), re.MULTILINE)


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
