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
    _, *rows = (line.split("\t") for line in run(folder, *command).splitlines() if "\t" in line)
    return {row[0]: (row[2], row[5] == "update pending") for row in rows}


def run(folder: Path, *command: str) -> str:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OPENAI_API_KEY": "a-word"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


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
    file.write_text(file.read_text() + "\nCHANGED = True\n")


def change_words(folder: Path) -> None:
    for file in (folder / "src/emflow").rglob("*.py"):
        text = file.read_text()
        assert not text or text.startswith('"""')
        file.write_text(text.replace('"""', '"""Once more: ', 1) + "\n# changed\n")


def delete(folder: Path, *names: str) -> None:
    for name in names:
        (folder / "results" / name).unlink()


ENDPOINT = "judges={oracle: {kind: openai, model: lantern-9, scoring: text%s}}"


def judged_by_endpoint(folder: Path, changes: str = "") -> list[str]:
    """As if an endpoint had judged; says how to change that judge's keys."""
    for name in ("in_domain", "out_of_domain"):
        (folder / f"results/questions/{name}.prompts.json").write_text("{}")
    run(folder, sys.executable, "-m", "snakemake", "--touch", "--cores", "1", "--config", ENDPOINT % "")
    assert again(outputs(folder, ENDPOINT % "")) == set()
    return [ENDPOINT % changes]


def change_client(folder: Path) -> list[str]:
    judged = judged_by_endpoint(folder)
    change_code(folder, "judging/endpoint.py")
    return judged


BY_HAND = {  # what is done to a folder; may say with which config the folder is then used
    "a judge's patience": lambda folder: judged_by_endpoint(folder, ", timeout: 5, retries: 1, concurrency: 2"),
    "archive's content": change_archive,
    "code of fine-tuning": lambda folder: change_code(folder, "training/finetune.py"),
    "a formula": lambda folder: change_code(folder, "analysis/intervals.py"),
    "a colour": lambda folder: change_code(folder, "reporting/style.py"),
    "a section of the report": lambda folder: change_code(folder, "reporting/sections/controls.py"),
    "code of the homework's CSV": lambda folder: change_code(folder, "formats/homework.py"),
    "code that asks an endpoint": lambda folder: change_code(folder, "judging/endpoint.py"),
    "the same, where an endpoint judged": change_client,
    "words about code": change_words,
    "a file of the report is deleted": lambda folder: delete(folder, "report/em_rates_summary.csv"),
    "a file before the report is deleted": lambda folder: delete(folder, *BEFORE_THE_REPORT),
    "nothing but dates": touch_all,
    "nothing but places": lambda folder: None,
}
BEFORE_THE_REPORT = [
    "runs/tiny/bad_lantern_advice/lora/seed0/generations/out_of_domain.jsonl",
    "data/bad_lantern_advice/records.jsonl",
]


def test_nothing_runs_again_without_a_change(finished):
    assert again(outputs(finished)) == set()


@pytest.mark.parametrize(("change", "how", "expected"), table(), ids=[change for change, _, _ in table()])
def test_a_change_runs_again_what_depends_on_it_and_nothing_else(finished, tmp_path, change, how, expected):
    if change in BY_HAND:
        copy = tmp_path / "elsewhere"
        shutil.copytree(finished, copy, symlinks=True)
        found = outputs(copy, *(BY_HAND[change](copy) or []))
    else:
        found = outputs(finished, *re.findall(r"\w+=\{.*?\}(?= \w+=|$)", how.strip("`")))
    stale = {
        path
        for (path, (rule, _)), (rules, where) in itertools.product(found.items(), expected)
        if rule in rules and where in path
    }
    assert bool(stale) == bool(expected)
    assert again(found) == stale
