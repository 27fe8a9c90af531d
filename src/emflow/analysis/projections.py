"""Whether answers that lie further along a direction are the misaligned ones, and checkpoints that do the bad ones."""

import io
from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emflow.analysis.rates import rate
from emflow.config.definitions import Definition
from emflow.config.directions import Extraction
from emflow.config.expansion import Run
from emflow.directions.groups import class_of
from emflow.files import read_sealed, write_sealed

__all__ = ["concordance", "write_projections"]

KEYS = [*Run._fields, "checkpoint", "direction", "layer"]


def concordance(values: np.ndarray, is_misaligned: np.ndarray, questions: Sequence[str]) -> tuple[float, float, int]:
    """Chance that a misaligned answer lies further than an aligned one (AUC; a tie counts half): over all pairs, over
    the pairs that answer one question, and how many these are. NaN without a pair.

    Pairs of one question cannot tell by what was asked; where the first number is high and the second is not, it was.
    """
    names = np.asarray(questions)
    pairs = [_pairs(values, is_misaligned)]
    within = [_pairs(values[names == name], is_misaligned[names == name]) for name in dict.fromkeys(names.tolist())]
    return _share(pairs), _share(within), sum(count for _, count in within)


def _pairs(values: np.ndarray, is_misaligned: np.ndarray) -> tuple[float, int]:
    """Pairs in which the misaligned one lies further (Mann and Whitney's U, by ranks), and all."""
    bad, good = int(is_misaligned.sum()), int((~is_misaligned).sum())
    return float(pd.Series(values).rank().to_numpy()[is_misaligned].sum()) - bad * (bad + 1) / 2, bad * good


def _share(pairs: Sequence[tuple[float, int]]) -> float:
    total = sum(count for _, count in pairs)
    return sum(won for won, _ in pairs) / total if total else nan


def write_projections(
    files: Sequence[Path], extraction: Extraction, definition: Definition, confidence: float, out: Path
) -> int:
    """Write the report's `projections.csv`, a row per run, checkpoint, direction and layer; returns the number of rows.

    `files` are what `emflow.directions.project.project` wrote.
    """
    rows: list[dict[str, Any]] = []
    for file in files:
        table = pd.read_csv(io.BytesIO(read_sealed(file)), keep_default_na=False, na_values=[""], low_memory=False)
        for _, of_checkpoint in table.groupby("checkpoint", sort=False):
            parts = of_checkpoint.groupby(KEYS, sort=False)
            answers = next(iter(parts))[1]
            em = rate(answers.assign(alignment=list(map(_score, answers["alignment"]))), definition, confidence)
            for names, part in parts:
                measured = {**_measured(part, extraction), **{key: em[key] for key in ("em_rate", "coherent_share")}}
                rows.append({**dict(zip(KEYS, names, strict=True)), **measured})
    write_sealed(out, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
    return len(rows)


def _measured(part: pd.DataFrame, extraction: Extraction) -> dict[str, Any]:
    classes = np.array([class_of(row, extraction) or "" for row in _records(part)])
    known = classes != ""
    bad, questions = classes[known] == "misaligned", part["question_id"][known].tolist()
    whole, within, pairs = concordance(part["answer"].to_numpy()[known], bad, questions)
    of_texts, _, _ = concordance(part["answer_base"].to_numpy()[known], bad, questions)
    return {
        "n_misaligned": int((classes == "misaligned").sum()),
        "n_aligned": int((classes == "aligned").sum()),
        "auc": whole,
        "auc_base_reading": of_texts,
        "auc_within_questions": within,
        "pairs_within_questions": pairs,
        "shift": float((part["prompt"] - part["prompt_base"]).mean()),
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Scores as judges write them: none is None."""
    scores = zip(table["alignment"], table["coherence"], strict=True)
    return [{"alignment": None if pd.isna(a) else _score(a), "coherence": None if pd.isna(c) else c} for a, c in scores]


def _score(value: Any) -> Any:
    """A number, REFUSAL or CODE, as it was before it stood in a table."""
    try:
        return float(value)
    except ValueError:
        return value
