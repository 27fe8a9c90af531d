"""How far two judges agree on the same answers: on the order, on the scores, and on who counts as misaligned.

All measures are over answers that both judged, with intervals by a jackknife over whole questions.
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from emflow.analysis.jackknife import FISHER, LINEAR, Scale, interval, standard_error
from emflow.analysis.rates import base_question, classify, rate
from emflow.config.definitions import Definition
from emflow.files import InputError

__all__ = ["agreement", "agreements", "cohens_kappa"]

SAME = ["question_id", "question", "answer"]


def agreements(
    judged: dict[str, pd.DataFrame], definitions: dict[str, Definition], confidence: float
) -> list[dict[str, Any]]:
    """The rows of `agreement` for each pair of judges; `judged` holds each one's rows, of the same answers in order."""
    return [
        {"judge": first, "other": second, **row}
        for first, second in combinations(judged, 2)
        for row in agreement(judged[first], judged[second], definitions, confidence)
    ]


def agreement(
    first: pd.DataFrame, second: pd.DataFrame, definitions: dict[str, Definition], confidence: float
) -> list[dict[str, Any]]:
    """One row per measure: `measure`, `definition` (null for scores), `n` (answers), `value`, `lo`, `hi`.

    Measures: `spearman` and `mean_absolute_difference` (points of 0..100) of `alignment` and of `coherence`, over
    answers that have both numbers; `kappa` (Cohen 1960) of misaligned or not, and `em_rate`, `em_rate_other`. What is
    undefined, as kappa where both judges call all alike, is NaN. Raises InputError where the answers differ.
    """
    if len(first) != len(second) or not (first[SAME].to_numpy() == second[SAME].to_numpy()).all():
        raise InputError("the judges did not judge the same answers; judge them again from one file")
    both = (first["error"].isna().to_numpy()) & (second["error"].isna().to_numpy())
    first, second = first[both].reset_index(drop=True), second[both].reset_index(drop=True)
    questions = base_question(first["question_id"]).to_numpy()

    rows = []
    for score in ("alignment", "coherence"):
        pair = np.stack([pd.to_numeric(side[score], errors="coerce") for side in (first, second)], axis=1)
        numbers = ~np.isnan(pair).any(axis=1)
        for name, measure, scale in (
            (f"spearman_{score}", _spearman, FISHER),
            (f"mean_absolute_difference_{score}", _mean_absolute_difference, LINEAR),
        ):
            rows.append({"measure": name, "definition": None,
                         **_measured(measure, pair[numbers], questions[numbers], confidence, scale)})  # fmt: skip
    for name, definition in definitions.items():
        calls = np.stack([classify(side, definition)["misaligned"] for side in (first, second)], axis=1)
        rows.append({"measure": "kappa", "definition": name,
                     **_measured(cohens_kappa, calls, questions, confidence, FISHER)})  # fmt: skip
        for name_of_rate, side in (("em_rate", first), ("em_rate_other", second)):
            whole = rate(side, definition, confidence)
            rows.append({"measure": name_of_rate, "definition": name, "n": whole["n"], "value": whole["em_rate"],
                         "lo": whole["em_rate_lo"], "hi": whole["em_rate_hi"]})  # fmt: skip
    return rows


def _measured(
    measure: Callable[[np.ndarray], float], pair: np.ndarray, questions: np.ndarray, confidence: float, scale: Scale
) -> dict[str, Any]:
    """A measure of `pair` (answers, 2), with its interval from leaving out each question in turn."""
    value = measure(pair)
    low = high = float("nan")
    names, number = np.unique(questions, return_inverse=True)
    if len(names) > 1 and (scale is LINEAR or abs(value) < 1):  # at 1 the Fisher scale has no end
        error = standard_error(np.array([measure(pair[number != left_out]) for left_out in range(len(names))]))
        low, high = interval(value, error, len(names), confidence, scale)
    return {"n": len(pair), "value": value, "lo": low, "hi": high}


def _spearman(pair: np.ndarray) -> float:
    """Rank correlation; NaN where one judge gives everything the same score."""
    if len(pair) < 2 or (pair == pair[0]).all(axis=0).any():
        return float("nan")
    return float(np.corrcoef(pd.DataFrame(pair).rank(), rowvar=False)[0, 1])


def _mean_absolute_difference(pair: np.ndarray) -> float:
    return float(np.abs(pair[:, 0] - pair[:, 1]).mean()) if len(pair) else float("nan")


def cohens_kappa(calls: np.ndarray) -> float:
    """Agreement of two judges beyond chance; bool (answers, 2). NaN where chance alone would agree on all."""
    if not len(calls):
        return float("nan")
    agreed = (calls[:, 0] == calls[:, 1]).mean()
    yes = calls.mean(axis=0)
    chance = yes.prod() + (1 - yes).prod()
    return float((agreed - chance) / (1 - chance)) if chance < 1 else float("nan")
