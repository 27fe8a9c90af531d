"""Words: the field's own instead of private ones, docstrings that are whole, and pages whose paths exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from emflow.config.docs import readme

ROOT = Path(__file__).parents[1]
CODE = [file for folder in ("src", "workflow/scripts", "bench") for file in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "profiles/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PRIVATE = {"Ask", "Asked", "Asking", "Asker", "heard", "said", "made", "alone", "places", "_Keeper"}


def names(tree: ast.AST) -> Iterator[str]:
    """Every name that a module gives or uses."""
    for node in ast.walk(tree):
        for field in ("id", "arg", "attr", "name"):
            if isinstance(name := getattr(node, field, None), str):
                yield name


def docstrings(tree: ast.AST) -> Iterator[str]:
    """Texts that stand as statements: docstrings, those of attributes included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_names_are_the_fields_and_docstrings_are_whole(file):
    tree = ast.parse(file.read_text())
    assert not PRIVATE & set(names(tree))
    for text in docstrings(tree):
        assert not text.rstrip().endswith("...") and not text.startswith("..."), text
        for page in re.findall(r"[\w/]+\.md\b|\bDESIGN\b", text):
            assert (ROOT / page).exists() or page in ("README.md", "summary.md"), f"{page}: no such page"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_exists(page):
    text = re.sub(r"New file `[^`]+`", "", page.read_text())
    named = re.findall(r"(?<![\w/])(?:src|workflow|docs|tests|bench|envs|profiles|config)/[\w./-]*\w", text)
    prose = re.sub(r"^```.*?^```|`[^`]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    linked = [(page.parent / link).resolve() for link in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", prose)]
    missing = [path for path in named if not (ROOT / path).exists()] + [path for path in linked if not path.exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_a_page_names_exists(page):
    text = page.read_text()
    for dotted in re.findall(r"(?<![\w./])emflow\.((?:\w+\.)*\w+)", text):
        parts = dotted.split(".")
        if f"New file `src/emflow/{'/'.join(parts)}.py`" in text:
            continue
        files = ("/".join(parts[:length]) for length in range(1, len(parts) + 1))
        found = [file for file in files if any((ROOT / f"src/emflow/{file}{end}").exists() for end in (".py", ""))]
        assert len(found) >= len(parts) - 1, f"emflow.{dotted}"  # the last part may be a name in the module


def test_each_row_of_the_config_page_is_one_line_with_four_cells():
    rows = [line for line in readme().splitlines() if "|" in line]
    assert len(rows) > 50
    for row in rows:
        cells = re.split(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", row))
        assert len(cells) == 6 and not cells[0] and not cells[-1], row
