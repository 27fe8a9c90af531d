"""docs/output.md names every file that a run leaves, and every key of each: as in paths.py and a finished run."""

import csv
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from emflow.files import read_jsonl
from emflow.paths import Answerer, Results, RunFolder
from pipelines import ROOT

GENERATIONS = "results/base/{model}/generations/{questions}.jsonl"


class Entry(NamedTuple):
    """What the page says of a kind of file: its paths, its keys, and those of them that need not be there."""

    paths: tuple[str, ...]
    keys: set[str]
    optional: set[str]
    text: str


def page() -> list[Entry]:
    _, *sections = re.split(r"^### ", (ROOT / "docs/output.md").read_text(), flags=re.MULTILINE)
    entries: list[Entry] = []
    for section in sections:
        head, _, text = section.partition("\n")
        rows = re.findall(r"^\| `([^`]+)` \|[^|]*\| *(Only)?", text, flags=re.MULTILINE)
        keys, optional = {key for key, _ in rows}, {key for key, only in rows if only}
        if "All keys of the generations, and:" in text:
            keys |= next(entry.keys for entry in entries if GENERATIONS in entry.paths)
        entries.append(Entry(tuple(re.findall(r"`([^`]+)`", head)), keys, optional, text.strip()))
    return entries


def pattern(text: str) -> re.Pattern:
    """`{job}` and `{questions}` may hold slashes; a path that ends in one is a folder with all that it holds."""
    body = re.escape(text).replace(r"\{job\}", ".+").replace(r"\{questions\}", ".+")
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", body) + ("[^/]+" if text.endswith("/") else ""))


def spelt(part: object) -> Iterator[str]:
    """Every path that a class of paths.py spells, names in braces."""
    for name, member in inspect.getmembers(type(part)):
        if name.startswith("_") or name == "digest":  # which stands beside a folder of any name
            continue
        if isinstance(member, property):
            yield from each(getattr(part, name))
        elif inspect.isfunction(member) and inspect.signature(member).return_annotation is Path:
            names = [p for p in inspect.signature(member).parameters if p != "self"]
            for section in ("models", "judges", "rewards") if "section" in names else ("",):
                yield str(getattr(part, name)(*(section if p == "section" else f"{{{p}}}" for p in names)))


def each(found: object) -> Iterator[str]:
    if isinstance(found, Path):
        yield str(found)
    elif isinstance(found, tuple) and not isinstance(found, Answerer):  # the report's folder
        yield from spelt(found)


def test_every_path_that_the_package_spells_is_on_the_page():
    run = Results().run(("{model}", "{domain}", "{method}", "{seed}"))
    paths = {*spelt(Results()), *spelt(run), *spelt(run.answerer), *spelt(Results().base("{model}"))}
    paths |= {str(Results.digest(Results().tiny_model("{seed}"))), str(Results().log("{rule}"))}
    listed = [path for entry in page() for path in entry.paths]
    assert len(paths) > 35
    assert [path for path in sorted(paths) if not any(p == path or p.startswith(f"{path}/") for p in listed)] == []
    assert isinstance(run, RunFolder)


def is_described(path: str, entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if any(pattern(p).fullmatch(path) for p in entry.paths)]


def files(demo: Path) -> list[str]:
    found = (file for file in (demo / "results").rglob("*") if file.is_file() and not file.name.startswith("."))
    return sorted(str(file.relative_to(demo)) for file in found)


def test_every_file_of_the_finished_study_is_on_the_page(demo):
    entries, paths = page(), files(demo)
    assert [path for path in paths if len(is_described(path, entries)) != 1] == []
    absent = [e.paths for e in entries if not any(pattern(p).fullmatch(path) for p in e.paths for path in paths)]
    only = [entry.paths for entry in entries if entry.text.startswith("Only")]
    assert [paths for paths in absent if paths not in only] == []


def keys_of(file: Path, nested: set[str]) -> set[str]:
    """The keys of a file's rows; below a key that `nested` names with a dot, also the keys there."""
    if file.suffix in (".csv", ".tsv"):
        with open(file, newline="") as table:
            return set(next(csv.reader(table, delimiter="\t" if file.suffix == ".tsv" else ",")))
    loaded = read_jsonl(file) if file.suffix == ".jsonl" else json.loads(file.read_text())
    rows = loaded if isinstance(loaded, list) else [loaded]
    keys = {key for row in rows for key in row}
    for outer in {key.partition(".")[0] for key in nested if "." in key}:
        keys |= {f"{outer}.{key}" for row in rows for item in row[outer] for key in item}
    return keys


@pytest.mark.parametrize("entry", [entry for entry in page() if entry.keys], ids=lambda entry: entry.paths[0])
def test_every_key_is_on_the_page_and_the_page_has_no_other(demo, entry):
    paths = [path for path in files(demo) if is_described(path, [entry])]
    if not paths:
        assert entry.text.startswith("Only")
        return
    found: set[str] = set()
    for path in paths:
        if entry.paths[0].endswith("/"):
            found |= {key for key in entry.keys if pattern(key).fullmatch(Path(path).name)} or {Path(path).name}
        else:
            found |= keys_of(demo / path, {key for key in entry.keys if "." in key})
    assert found - entry.keys == set() and entry.keys - found <= entry.optional
