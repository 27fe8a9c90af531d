"""docs/reruns.md says what runs again after a change: each line of its table is tried on a finished result."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import ROOT, clone


def table() -> list[tuple[str, str, list[tuple[set[str], str]]]]:
    """(change, how, [(rules, part of the outputs' paths)]) for each change of the page."""
    changes = []
    for line in (ROOT / "docs/reruns.md").read_text().splitlines():
        if not line.startswith("| ") or line.startswith("| change"):
            continue
        change, how, rules, where = (cell.strip() for cell in line.strip("|").split("|"))
        if change:
            changes.append((change, how, []))
        if rules != "nothing":
            changes[-1][2].append((set(rules.split(", ")), "" if where == "everywhere" else where.strip("`")))
    return changes


@pytest.fixture(scope="module")
def finished(demo, tmp_path_factory) -> Path:
    """A finished result together with the project that made it."""
    folder = tmp_path_factory.mktemp("reruns") / "project"
    clone(folder)
    for part in ("config", "results", ".snakemake"):
        shutil.copytree(demo / part, folder / part, dirs_exist_ok=True)
    return folder


def outputs(folder: Path, *config: str) -> dict[str, tuple[str, bool]]:
    """Every output -> (its rule, whether it would be made again)."""
    command = [sys.executable, "-m", "snakemake", "-n", "--summary", *(["--config", *config] if config else [])]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    _, *rows = (line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
    return {row[0]: (row[2], row[5] == "update pending") for row in rows}


def again(found: dict[str, tuple[str, bool]]) -> set[str]:
    return {path for path, (_, pending) in found.items() if pending}


def touch_all(folder: Path) -> None:
    for number, file in enumerate(sorted(folder.rglob("*"))):
        if ".snakemake" not in file.parts:
            os.utime(file, (2_000_000_000 - number,) * 2)  # in an order that no workflow makes


def change_archive(folder: Path) -> None:
    with open(folder / "results/tinyworld/training_datasets.zip.enc", "ab") as archive:
        archive.write(b"more")


def change_code(folder: Path, name: str) -> None:
    file = folder / "src/emflow" / name
    file.write_text(file.read_text() + "\n# changed\n")


BY_HAND = {
    "archive's content": change_archive,
    "code of fine-tuning": lambda folder: change_code(folder, "training/finetune.py"),
    "code of the report": lambda folder: change_code(folder, "reporting/summary.py"),
    "nothing but dates": touch_all,
    "nothing but places": lambda folder: None,
}


def test_nothing_runs_again_without_a_change(finished):
    assert again(outputs(finished)) == set()


@pytest.mark.parametrize(("change", "how", "expected"), table(), ids=[change for change, _, _ in table()])
def test_a_change_runs_again_what_depends_on_it_and_nothing_else(finished, tmp_path, change, how, expected):
    if change in BY_HAND:
        copy = tmp_path / "elsewhere"
        shutil.copytree(finished, copy, symlinks=True)
        BY_HAND[change](copy)
        found = outputs(copy)
    else:
        found = outputs(finished, *re.findall(r"\w+=\{.*?\}(?= \w+=|$)", how.strip("`")))
    stale = {
        path
        for (path, (rule, _)), (rules, where) in itertools.product(found.items(), expected)
        if rule in rules and where in path
    }
    assert bool(stale) == bool(expected)
    assert again(found) == stale
