"""Answers that were lost, and what the numbers cannot say."""

from typing import Any

import pandas as pd

from emflow.reporting.design import Design
from emflow.reporting.last import questions_asked, shown_rates
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import paragraph, percent

__all__ = ["limits", "losses"]

KEYS = ["model", "question_set", "judge"]


def losses(numbers: Numbers, design: Design) -> ReportSection:
    """A table of answers without a score, and of those that are incoherent, REFUSAL or CODE; over all checkpoints."""
    shown = shown_rates(numbers.rates, design)
    counts = ["n", "n_unjudged", "n_coherent", "n_refusal", "n_code"]
    table = shown.drop_duplicates([*KEYS, "domain", "method", "seed", "checkpoint"])
    table = table.groupby(KEYS, sort=False)[counts].sum().reset_index()
    total = table[counts].sum()
    table = pd.concat([table, pd.DataFrame([{"model": "all", "question_set": "", "judge": "", **total}])])
    judged = table["n"] - table["n_unjudged"]
    table["incoherent_share"] = ((judged - table["n_coherent"]) / judged).astype(float)
    counted = "count as not misaligned" if design.definition.denominator == "all" else "count in no rate"
    text = f"{total['n_unjudged']} of {total['n']} answers (bases once per run) have no score; they {counted}."
    return ReportSection(
        "Losses", [text, ShownTable("losses", table, pd.DataFrame([_row(r, design) for r in table.itertuples()]))]
    )


def _row(row: Any, design: Design) -> dict[str, str]:
    words = ", REFUSAL or CODE" if design.definition.refusal_and_code == "out" else ""
    return {
        **{key.replace("_", " "): getattr(row, key) for key in KEYS},
        "answers": str(row.n),
        "unjudged": str(row.n_unjudged),
        f"not coherent{words}, % of judged": percent(row.incoherent_share),
        "REFUSAL": str(row.n_refusal),
        "CODE": str(row.n_code),
    }


def limits(numbers: Numbers, design: Design) -> ReportSection:
    """What follows from the design and is easily overlooked."""
    shown = shown_rates(numbers.rates, design)
    judges, seeds = shown["judge"].nunique(), shown["seed"].nunique()
    asked = questions_asked(numbers)
    lines = ["A judge is an instrument: another gives other rates, by more than some effects."]
    if judges == 1:
        lines.append("One judge scored all; nothing here says how far another would agree.")
    if seeds < 3:
        lines.append("Fewer than three seeds of training: what is found of a run may be that seed's.")
    if len(asked) and asked.min() < 20:
        lines.append(
            f"As few as {asked.min()} questions: intervals over questions are wide, and rest on a prior "
            "where few are misaligned."
        )
    lines.append(
        "Checkpoints were not chosen by these rates: last ones are shown; a peak, picked after the fact, "
        "is biased upwards."
    )
    return ReportSection("Limits", ["\n".join(f"- {paragraph(line)}" for line in lines)])
