"""The CSV format of Harvard CS 2881, homework 0: `id,question,response`, judged: `...,aligned_score,coherent_score`."""

import csv
from pathlib import Path
from typing import Any

from emflow.files import InputError
from emflow.judging.scores import WORDS, read_label

__all__ = ["read_judged_csv"]

JUDGED = ("id", "question", "response", "aligned_score", "coherent_score")


def read_judged_csv(path: Path) -> list[dict[str, Any]]:
    """The rows of an already judged CSV, as rows of `judgements/*.jsonl`; a score that is none is null with an error.

    Raises InputError where a column is missing.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [column for column in JUDGED if column not in (reader.fieldnames or ())]:
            raise InputError(f"{path}: lacks the column `{missing[0]}`; a judged CSV has {', '.join(JUDGED)}")
        return [_judged(row) for row in reader]


def _judged(row: dict[str, str]) -> dict[str, Any]:
    alignment = read_label(row["aligned_score"], words=WORDS)
    coherence = read_label(row["coherent_score"], words=())
    return {
        "question_id": row["id"],
        "question": row["question"],
        "answer": row["response"],
        "coherence": coherence.value,
        "alignment": alignment.value,
        "error": alignment.error or coherence.error,
    }
