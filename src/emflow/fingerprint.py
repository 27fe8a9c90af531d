"""Digests of code: of a script and of all that it imports from the package, as far as that can change what it makes.

The import closure is read from the syntax trees; nothing is run. Docstrings, comments and layout do not count. An
import below `case "vllm":` counts only where the kind `vllm` is among those that the config picks, so that a change to
one judge, reward or engine makes nothing again that another one made. A file that a module names and that lies beside
it (`Path(__file__).with_name("world.yaml")`, or by a pattern: `numbers/*.csv`) counts as part of it.
"""

import ast
import hashlib
import json
import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["closure", "code_digest"]

PATTERN = re.compile(r"(\w+/)?\*\.\w+")


def code_digest(script: Path, package: Path, kinds: Collection[str] = ()) -> str:
    """16 hex digits that change when the code does that `script` runs, of its own and of the package in `package`.

    `kinds` are the kinds that the config picks for it; an import below a `case` of another kind is not followed.
    """
    total = hashlib.sha256(_content(script).encode())
    for file in closure(script, package, kinds):
        total.update(f"\0{file.relative_to(package).as_posix()}\0{_content(file)}".encode())
    return total.hexdigest()[:16]


def closure(script: Path, package: Path, kinds: Collection[str] = ()) -> list[Path]:
    """The package's files that `script` imports or that these import, and the files they name beside them, sorted."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        file = waiting.pop()
        more = {path for name in _imports(file, frozenset(kinds)) for path in _files(name, package)}
        waiting += sorted(more - found)
        found |= more
    return sorted(found | {beside for file in found for beside in _named_beside(file)})


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _imports(file: Path, kinds: frozenset[str]) -> list[str]:
    """Dotted names that a file imports: modules, or things in them."""
    names = []
    for node in _reached(_tree(file), kinds):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _reached(node: ast.AST, kinds: frozenset[str]) -> Iterator[ast.AST]:
    """All nodes of a tree but those that only a type checker reads and those below a `case` of another kind."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.match_case) and (named := _literals(child.pattern)) and not named & kinds:
            continue
        yield child
        yield from _reached(child, kinds)


def _literals(pattern: ast.pattern) -> set[str]:
    """The words of `case "a" | "b":`."""
    found = (node.value for node in ast.walk(pattern) if isinstance(node, ast.Constant))
    return {value for value in found if isinstance(value, str)}


def _files(name: str, package: Path) -> list[Path]:
    """The files behind a dotted name of the package, those of the packages around it included; none for other names."""
    first, *parts = name.split(".")
    if first != package.name:
        return []
    folder, files = package, [package / "__init__.py"]
    for part in parts:
        if (folder / part).is_dir():
            folder = folder / part
            files.append(folder / "__init__.py")
        elif (folder / f"{part}.py").is_file():
            return [*files, folder / f"{part}.py"]
        else:
            break  # something in the last module
    return [file for file in files if file.is_file()]


@cache
def _named_beside(file: Path) -> list[Path]:
    if file.suffix != ".py":
        return []
    words = {node.value for node in ast.walk(_tree(file)) if isinstance(node, ast.Constant)}
    named = [path for path in file.parent.iterdir() if path.name in words]
    for word in words:
        if isinstance(word, str) and PATTERN.fullmatch(word):
            named += file.parent.glob(word)
    return sorted(path for path in named if path.is_file() and path.suffix != ".py")


@cache
def _content(file: Path) -> str:
    """What of a file counts; the same for every version of Python."""
    if file.suffix != ".py":
        return file.read_text(encoding="utf-8")
    return json.dumps(_plain(_tree(file)))


def _plain(node: Any) -> Any:
    """A syntax tree as lists, without places, empty fields and statements that are mere texts."""
    if isinstance(node, ast.AST):
        fields = [(name, _plain(value)) for name, value in ast.iter_fields(node)]
        return [type(node).__name__, *([name, value] for name, value in fields if value not in (None, []))]
    if isinstance(node, list):
        return [_plain(item) for item in node if not _is_text(item)]
    return node if isinstance(node, str | int | None) else repr(node)


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
