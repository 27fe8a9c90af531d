"""The rooms of the package: who may import whom, and how large things get."""

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from pipelines import ROOT

SOURCE = ROOT / "src"
TREES = {path: ast.parse(path.read_text()) for path in sorted((SOURCE / "emflow").rglob("*.py"))}


def name(path: Path) -> str:
    """A file's dotted name."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name(path): tree for path, tree in TREES.items()}


def imported(tree: ast.AST) -> Iterator[str]:
    """The package's modules that a file imports anywhere: in a function or for a type checker alone, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are spelled from the package on"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (full if full in MODULES else node.module for full in whole if node.module in MODULES)


IMPORTS = {module: set(imported(tree)) for module, tree in MODULES.items()}


def reached(start: str) -> set[str]:
    """All that a module imports, and what these import."""
    found, waiting = set(), [start]
    while waiting:
        more = IMPORTS[waiting.pop()] - found
        found |= more
        waiting += more
    return found


def test_imports_form_no_circle():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1][::-1]))


@pytest.mark.parametrize(
    ("room", "closed"),
    [
        ("analysis", ["training", "judging", "inference", "rewards", "reporting"]),
        ("config", ["training", "judging", "inference", "rewards", "models", "analysis", "reporting"]),
        ("models", ["training", "judging", "inference", "rewards", "analysis", "reporting"]),
    ],
)
def test_a_room_stands_on_those_below_it_alone(room, closed):
    modules = [module for module in MODULES if module.startswith(f"emflow.{room}.")]
    assert modules
    for module in modules:
        above = {other for other in reached(module) if other.split(".")[1] in closed}
        assert not above, f"{module} imports {sorted(above)}"


def test_no_two_classes_have_one_name():
    names = Counter(node.name for tree in MODULES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_function_is_longer_than_a_screen():
    long = {
        f"{path.relative_to(ROOT)}: {node.name}": lines
        for room in ("src", "workflow", "tests", "bench", "envs")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := node.end_lineno - node.lineno + 1) > 60
    }
    assert long == {}
