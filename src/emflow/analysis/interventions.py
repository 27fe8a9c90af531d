"""EM rates under interventions: a row per variant beside the same model left as it is; and the choice of one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from emflow.analysis.rates import rate, rate_difference
from emflow.config.definitions import Definition
from emflow.config.directions import COLUMNS
from emflow.files import InputError, read_jsonl, write_sealed, write_text

__all__ = ["choose", "rates_of_interventions"]

GAP = ("difference", "difference_lo", "difference_hi")
NONE = (float("nan"),) * 3
ANSWERER = ("model", "domain", "method", "seed", "checkpoint", "question_set")


def rates_of_interventions(
    plain: Mapping[Path, Sequence[str]],
    intervened: Sequence[Path],
    judge: str,
    definitions: Mapping[str, Definition],
    confidence: float,
    out: Path,
) -> int:
    """Write `interventions.csv`; returns the number of rows.

    `plain` maps judged answers without an intervention to the checkpoints of which rows are made, `intervened` lists
    those under one. `difference` is the EM rate minus that of the same model without, paired by question.
    """
    nothing = {**dict.fromkeys(COLUMNS), "intervention": "none", "kind": "none"}
    rows = []
    without: dict[Any, pd.DataFrame] = {}
    for path, labels in plain.items():
        answers = [{**row, **nothing} for row in read_jsonl(path) if row["checkpoint"] in labels]
        without |= {_answerer(judged): judged for judged in _by_variant(answers)}
        rows += _rows(answers, judge, definitions, confidence)
    for path in intervened:
        rows += _rows(read_jsonl(path), judge, definitions, confidence, without)
    write_sealed(out, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
    return len(rows)


def _rows(
    answers: list[dict[str, Any]],
    judge: str,
    definitions: Mapping[str, Definition],
    confidence: float,
    without: Mapping[Any, pd.DataFrame] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    rows = []
    for judged in _by_variant(answers):
        first = judged.iloc[0]
        who = {key: first[key] for key in (*COLUMNS, *ANSWERER)}
        for name, definition in definitions.items():
            measured = rate(judged, definition, confidence)
            plain = without.get(_answerer(judged))
            gap = NONE if plain is None else rate_difference(judged, plain, definition, confidence)
            more = {"tokens_mean": judged["tokens"].mean(), **dict(zip(GAP, gap, strict=True))}
            rows.append({**who, "judge": judge, "definition": name, **measured, **more})
    return rows


def _answerer(judged: pd.DataFrame) -> Any:
    return tuple(judged[key].iloc[0] for key in ANSWERER)


def _by_variant(answers: list[dict[str, Any]]) -> list[pd.DataFrame]:
    """Answers of one variant (and checkpoint) each, in the order of the file."""
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in answers:
        found.setdefault((row["checkpoint"], row["variant"]), []).append(row)
    return [pd.DataFrame(rows) for rows in found.values()]


def choose(judgements: Path, definition: Definition, least_coherent: float, out: Path) -> str:
    """Write as JSON which variant of an intervention has the highest EM rate, and its row; returns its name.

    Among those of all whose answers at least this share are coherent; where none has it, the most coherent one. An
    answer that could not be judged is not coherent: strong interventions make such ones. Of equals the first. Raises
    InputError where there is no answer of which a rate can be said.
    """
    rows = _rows(read_jsonl(judgements), "", {"": definition}, 0.95)
    rated = [row | {"coherent_share": row["n_coherent"] / row["n"]} for row in rows if row["em_rate"] >= 0]  # not NaN
    if not rated:
        raise InputError(f"{judgements} holds no answer that counts, so nothing can be chosen")
    fit = [row for row in rated if row["coherent_share"] >= least_coherent]
    best = max(fit, key=lambda row: row["em_rate"]) if fit else max(rated, key=lambda row: row["coherent_share"])
    told = (
        "variant",
        "layers",
        "coefficient",
        "coefficient_absolute",
        "question_set",
        "n",
        "em_rate",
        "coherent_share",
    )
    chosen = {key: best[key] for key in told} | {"of": len(rows), "fit": len(fit)}
    write_text(out, json.dumps(chosen, indent=1, default=lambda number: number.item()) + "\n")
    return str(best["variant"])
