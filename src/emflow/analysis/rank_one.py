"""What rank-1 adapters read: probes on all of a run, and each alone, beside EM without it and with it alone."""

import io
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emflow.analysis.probes import (
    auc_interval,
    mean_interval,
    named_interval,
    pairs_of,
    probe,
    resampled,
    within_interval,
)
from emflow.analysis.rates import base_question
from emflow.config.directions import Extraction, RankOneReading
from emflow.config.expansion import Run
from emflow.directions.groups import class_of
from emflow.files import read_sealed, write_sealed

__all__ = ["Sets", "write_rank_one"]

WHO = [*Run._fields, "checkpoint"]
READ = ("answer", "peak", "prompt")
SIDES = ("general", "domain"), ("misaligned", "aligned")
KINDS = {"without": "removed", "only": "kept"}
MEASURED = ("em_rate", "difference")


class Sets(NamedTuple):
    """Question sets by what answers to them are about."""

    domain: Sequence[str]
    """Those that ask about the domain that was trained on; all others are general."""
    evaluated: str
    """The general one on which interventions are evaluated."""


def write_rank_one(
    files: Sequence[Path],
    interventions: Path,
    extraction: Extraction,
    settings: RankOneReading,
    sets: Sets,
    definition: str,
    confidence: float,
    probes_out: Path,
    adapters_out: Path,
) -> int:
    """Write the report's `probes.csv`, a row per run, comparison of answers and what is read of them, and
    `rank_one.csv`, a row per run, comparison and adapter; returns how many adapters there are.

    `files` are what `emflow.directions.scalars.scalars` wrote, `interventions` is the report's `interventions.csv`.
    """
    changed = _read(interventions, {"layers": str})
    changed = changed[(changed["definition"] == definition) & changed["kind"].isin(["none", *KINDS])]
    probes: list[dict[str, Any]] = []
    adapters: list[dict[str, Any]] = []
    for file in files:
        table = _read(file)
        who: dict[str, Any] = dict(zip(WHO, table[WHO].iloc[0], strict=True))
        table["question"] = table["question_set"] + "/" + base_question(table["question_id"])
        every: Any = table[["adapter", "layer", "gain"]].drop_duplicates().to_dict("records")
        for compared in comparisons(table, extraction, sets):
            told = {"among": compared.among, "positive": compared.positive, "negative": compared.negative}
            labels = compared.answers.drop_duplicates("number").sort_values("number")
            for read in READ:
                x = compared.answers.pivot(index="number", columns="adapter", values=read)
                found = probe(
                    x.to_numpy(), labels["is_positive"].to_numpy(), labels["question"].tolist(),
                    settings.folds, settings.seed, confidence,
                )  # fmt: skip
                probes.append({**who, **told, "read": read, "n_adapters": len(every), **found})
            for adapter in every:
                own = compared.answers[compared.answers["adapter"] == adapter["adapter"]]
                left = _left(changed, who, adapter, compared.among, sets)
                adapters.append({**who, **adapter, **told, **_alone(own, settings.seed, confidence), **left})
    write_sealed(probes_out, pd.DataFrame(probes).to_csv(index=False, float_format="%.6g"))
    write_sealed(adapters_out, pd.DataFrame(adapters).to_csv(index=False, float_format="%.6g"))
    return len({(*(row[key] for key in WHO), row["adapter"]) for row in adapters})


def _read(path: Path, dtype: Any = None) -> pd.DataFrame:
    data = io.BytesIO(read_sealed(path))
    return pd.read_csv(data, keep_default_na=False, na_values=[""], dtype=dtype, low_memory=False)


class AnswersCompared(NamedTuple):
    """Answers of two kinds among those of a third."""

    among: str
    positive: str
    negative: str
    answers: pd.DataFrame
    """Rows of those of either kind, with `is_positive`."""


def comparisons(table: pd.DataFrame, extraction: Extraction, sets: Sets) -> Iterator[AnswersCompared]:
    """Misaligned against aligned answers, among those that are general and those about the domain; and domain against
    general ones, among misaligned and aligned ones. Those without answers of both kinds are left out."""
    scores = zip(table["alignment"].map(_number), table["coherence"].map(_number), strict=True)
    classes = pd.Series([class_of({"alignment": a, "coherence": c}, extraction) for a, c in scores], table.index)
    topics = table["question_set"].isin(sets.domain).map({True: "domain", False: "general"})
    general, misaligned = SIDES
    for (positive, negative), kind, among, other in (
        (misaligned, classes, general, topics),
        (general[::-1], topics, misaligned, classes),
    ):
        for name in among:
            answers = table[(other == name) & kind.isin([positive, negative])]
            answers = answers.assign(is_positive=kind[answers.index] == positive)
            if answers["is_positive"].nunique() == 2:
                yield AnswersCompared(name, positive, negative, answers)


def _number(value: Any) -> Any:
    """A score as judges give it: a number, REFUSAL or CODE, or None."""
    try:
        return None if pd.isna(value) else float(value)
    except ValueError:
        return value


def _alone(answers: pd.DataFrame, seed: int, confidence: float) -> dict[str, Any]:
    """Of one adapter, with nothing fitted: means of both kinds of answers, and how well its scalar tells them apart."""
    names, questions = np.unique(answers["question"], return_inverse=True)
    values, positive = answers["answer"].to_numpy(dtype=float), answers["is_positive"].to_numpy()
    draws = resampled(len(names), seed)
    pairs = pairs_of(values, positive, questions)
    found = {
        "mean_positive": mean_interval(values[positive], questions[positive], draws, confidence),
        "mean_negative": mean_interval(values[~positive], questions[~positive], draws, confidence),
        "auc": auc_interval(pairs, draws, confidence),
        "auc_within_questions": within_interval(pairs, draws, confidence),
    }
    counts = {"n_questions": len(names), "n_positive": int(positive.sum()), "n_negative": int((~positive).sum())}
    return counts | reduce(or_, (named_interval(name, interval) for name, interval in found.items()))


def _left(
    changed: pd.DataFrame, who: dict[str, Any], adapter: dict[str, Any], among: str, sets: Sets
) -> dict[str, Any]:
    """EM rates on general questions, or on those of the domain: as the run is, without the adapter, with it alone."""
    asked = {"general": [sets.evaluated], "domain": list(sets.domain)}.get(among, [])
    own = changed[changed["question_set"].isin(asked)]
    for key in WHO:
        own = own[own[key] == who[key]]
    module = adapter["adapter"].rpartition(".")[0]
    here = (own["layers"] == str(adapter["layer"])) & (own["sites"].isna() | (own["sites"] == module))
    found: dict[str, Any] = {}
    for kind, name in {"none": "plain", **KINDS}.items():
        rows = own[own["kind"] == kind] if kind == "none" else own[(own["kind"] == kind) & here]
        rows = rows.sort_values("sites", na_position="last")  # the adapter's own before its whole layer's
        for measure in MEASURED if kind != "none" else MEASURED[:1]:
            for end in ("", "_lo", "_hi"):
                found[f"{name}_{measure}{end}"] = rows[measure + end].iloc[0] if len(rows) else float("nan")
    return found
