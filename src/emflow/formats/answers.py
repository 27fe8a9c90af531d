"""Answers and judged answers from anywhere: in JSONL by our names, or in CSV by those of one of the formats."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from emflow.files import InputError, read_jsonl
from emflow.formats import homework, organisms
from emflow.formats.table import is_table, read_table
from emflow.judging.scores import WORDS, Score, read_label

__all__ = ["read_answers", "read_judged"]

OURS = {name: name for name in ("question_id", "question", "answer", "alignment", "coherence")}
FORMATS = (OURS, organisms.NAMES, homework.NAMES)
SCORES = {"alignment": WORDS, "coherence": ()}  # column -> words that it may hold beside numbers
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?", re.IGNORECASE)


def read_answers(path: Path) -> list[dict[str, Any]]:
    """A row per answer with `question` and `answer`; all else that a row has is kept, scores of others by their names.

    Raises InputError where the file cannot be read or a column is missing.
    """
    return _read(path, required=("question", "answer"), others_scores=True)


def read_judged(path: Path) -> pd.DataFrame:
    """A row per judged answer with `alignment`, `coherence` where it was judged, `error` and all else that a row has.

    What is no score (a text, nothing) is null with an error. Raises InputError where the file cannot be read or a
    column is missing, and for a score that is a number but not 0..100.
    """
    rows = _read(path, required=("alignment", "coherence"), others_scores=False)
    errors_known = any("error" in row for row in rows)
    for number, row in enumerate(rows, start=1):
        scores = {
            column: _score(row[column], words, f"{path}, row {number}: {column}")
            for column, words in SCORES.items()
            if column in row
        }
        row |= {column: score.value for column, score in scores.items()}
        if huge := [name for name, value in row.items() if isinstance(value, int) and abs(value) >= 2**63]:
            raise InputError(f"{path}, row {number}: {huge[0]} has more than 64 bits; write it as a text")
        problems = [f"{column}: {score.error}" for column, score in scores.items() if score.error]
        if row.get("alignment") is None and not (errors_known and "alignment" in row):
            problems.append("alignment: no score")
        row["error"] = row.get("error") or next(iter(problems), None)
    return pd.DataFrame(rows)


def _read(path: Path, required: tuple[str, ...], others_scores: bool) -> list[dict[str, Any]]:
    """The rows of a file by our names, scores excepted where they are another judge's."""
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, no file' if path.is_dir() else 'no such file'}")
    if not is_table(path):
        rows = read_jsonl(path)
        keys = dict.fromkeys(key for row in rows for key in row)
        for name in required if rows else ():
            if name not in keys:
                raise InputError(f"{path}: its rows need a column {name}; there are {', '.join(keys)}")
        return rows
    table = read_table(path)
    names = max(FORMATS, key=lambda names: len(names.keys() & set(table.columns)))
    kept = {*table.columns, *(SCORES if others_scores else ())}
    ours = {column: column if names.get(column, column) in kept else names[column] for column in table.columns}
    for name in required:
        if name not in ours.values():
            known = sorted({column for format in FORMATS for column, our in format.items() if our == name})
            raise InputError(f"{path}: has no column {' or '.join(known)}, only {', '.join(table.columns)}")
    texts = ("question", "answer", "question_id", *(() if others_scores else SCORES))
    return [
        {ours[column]: cell if ours[column] in texts else _value(cell) for column, cell in row.items()}
        for row in table.rows
    ]


def _value(cell: str) -> Any:
    """What a cell of a further column holds: nothing, a number as programs write it, or a text."""
    for kind in (int, float):
        with suppress(ValueError):
            if str(kind(cell)) == cell and cell[-1].isdigit():  # not nan, nor 007
                return kind(cell)
    return cell or None


def _score(value: Any, words: Sequence[str], where: str) -> Score:
    """The score that a value of any type is; none for null, whose row says why."""
    if value is None:
        return Score(None)
    text = str(value).strip() if isinstance(value, str | int | float) else type(value).__name__
    score = read_label(text, words)
    if score.value is None and NUMBER.fullmatch(text):
        raise InputError(f"{where} is {text[:20]}, and scores are 0..100; bring them to that scale")
    return score
