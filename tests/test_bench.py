"""Benchmarks and pages name what the package has."""

import ast
import re
from importlib import import_module
from importlib.util import find_spec

import pytest

from pipelines import ROOT

BENCHMARKS = sorted((ROOT / "bench").glob("*.py"))
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "bench/README.md",
    ROOT / "profiles/README.md",
]


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(path):
    """Also what it imports in a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "emflow":
            module = import_module(node.module)
            assert not [alias.name for alias in node.names if not hasattr(module, alias.name)], node.module


def test_commands_of_pages_name_modules_and_files_that_are_there():
    for page in PAGES:
        text = page.read_text()
        for module in re.findall(r"-m (emflow[\w.]*)", text):
            found = find_spec(module)
            assert found, f"{page.name}: {module}"
            assert not found.submodule_search_locations or find_spec(f"{module}.__main__"), f"{page.name}: {module}"
        for script in re.findall(r"python (bench/\w+\.py)", text):
            assert (ROOT / script).exists(), f"{page.name}: {script}"
