"""What docs/output.md says of the files that a run leaves, and a folder of results held against it."""

import csv
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from emflow.files import read_jsonl
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
        rows = re.findall(r"^\| (`[^|]+`) \|[^|]*\| *(Only)?", text, flags=re.MULTILINE)
        named = [(key, only) for cell, only in rows for key in re.findall(r"`([^`]+)`", cell)]
        keys, optional = {key for key, _ in named}, {key for key, only in named if only}
        if "All keys of the generations, and:" in text:
            keys |= next(entry.keys for entry in entries if GENERATIONS in entry.paths)
        entries.append(Entry(tuple(re.findall(r"`([^`]+)`", head)), keys, optional, text.strip()))
    return entries


def pattern(text: str) -> re.Pattern:
    """`{job}` and `{questions}` may hold slashes; a path that ends in one is a folder with all that it holds."""
    body = re.escape(text).replace(r"\{job\}", ".+").replace(r"\{questions\}", ".+")
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", body) + ("[^/]+" if text.endswith("/") else ""))


def files(folder: Path) -> list[str]:
    """All files of a folder of results but hidden ones, as the page names them."""
    found = (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    return sorted(f"results/{file.relative_to(folder)}" for file in found)


def keys_of(file: Path, nested: set[str]) -> set[str]:
    """The keys of a file's rows; below a key that `nested` names with a dot, also the keys there."""
    if file.suffix in (".csv", ".tsv"):
        with open(file, newline="") as table:
            return set(next(csv.reader(table, delimiter="\t" if file.suffix == ".tsv" else ",")))
    if file.suffix == ".parquet":
        return set(pq.read_schema(file).names)
    loaded = read_jsonl(file) if file.suffix == ".jsonl" else json.loads(file.read_text())
    rows = loaded if isinstance(loaded, list) else [loaded]
    keys = {key for row in rows for key in row}
    for outer in {key.partition(".")[0] for key in nested if "." in key}:
        keys |= {f"{outer}.{key}" for row in rows for item in row[outer] for key in item}
    return keys


def unlike(folder: Path, whole: bool) -> list[str]:
    """What the page says otherwise than a study's folder of results: files and keys that it lacks; of a `whole` study,
    also keys that no file has and that do not say "Only"."""
    wrong, of_entry, entries = [], defaultdict[int, list[str]](list), page()
    for path in files(folder):
        names = [(n, p.count("{")) for n, e in enumerate(entries) for p in e.paths if pattern(p).fullmatch(path)]
        nearest = [n for n, free in names if free == min(free for _, free in names)]
        if len(nearest) == 1:
            of_entry[nearest[0]].append(path)
        else:
            wrong.append(f"{path}: {len(nearest)} entries")
    for number, paths in of_entry.items():
        entry, found = entries[number], set[str]()
        for path in paths if entry.keys else ():
            if entry.paths[0].endswith("/"):  # a folder, whose files are its keys
                name = Path(path).name
                found |= {key for key in entry.keys if pattern(key).fullmatch(name)} or {name}
            else:
                file = folder / path.removeprefix("results/")
                found |= keys_of(file, {key for key in entry.keys if "." in key})
        wrong += [f"{entry.paths[0]}: {key} is not on the page" for key in sorted(found - entry.keys)]
        wrong += [f"{entry.paths[0]}: no {key}" for key in sorted(entry.keys - found - entry.optional) if whole]
    return wrong
