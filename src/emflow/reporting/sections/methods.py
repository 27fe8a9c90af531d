"""Methods against each other at the last checkpoint of each."""

from itertools import combinations
from typing import Any

import pandas as pd

from emflow.analysis.intervals import RateDifference, holm
from emflow.reporting.design import Design
from emflow.reporting.last import last_and_base, shown_counts, trained_rows
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import p_value, paragraph, percent, points

__all__ = ["between_methods", "methods"]

GROUP = ["model", "domain", "seed", "question_set", "judge"]
COLUMNS = [*GROUP, "method", "other", "checkpoint", "checkpoint_other", "em_rate", "em_rate_other",
           *RateDifference._fields]  # fmt: skip


def methods(numbers: Numbers, design: Design) -> ReportSection | None:
    """A table of differences; None where there is one method."""
    gaps = between_methods(numbers, design)
    if gaps.empty:
        return None
    compared = int(gaps["p"].notna().sum())
    text = paragraph(f"""
        EM rate of one method's last checkpoint minus another's, of the same model, domain, seed and question set, in
        points; paired by question, {100 * design.report.confidence:g} % intervals over questions. p is two-sided; the
        corrected one allows for the number of comparisons of this table, {compared} (Holm 1979). Methods need not have
        learned equally much by then: the section on matched learning compares them where they have.""")
    shown = pd.DataFrame([_row(row) for row in gaps.itertuples()])
    return ReportSection("Between methods", [text, ShownTable("methods", gaps, shown)])


def between_methods(numbers: Numbers, design: Design) -> pd.DataFrame:
    """A row per pair of methods with `COLUMNS` and `p_holm`, which allows for all rows; NaN where nothing was counted.

    Domains that are controls are left out: they stand against their bases.
    """
    counts, rows = shown_counts(numbers, design), []
    last = trained_rows(last_and_base(numbers.rates, design))
    last = last[~last["domain"].map(design.is_control).astype(bool)]
    one: Any
    other: Any
    for who, runs in last.groupby(GROUP, sort=False):
        for one, other in combinations(runs.itertuples(), 2):
            gap = counts.difference(one, other, design.report.confidence)
            checkpoints = (one.checkpoint, other.checkpoint)
            rows.append([*who, one.method, other.method, *checkpoints, one.em_rate, other.em_rate, *gap])
    gaps = pd.DataFrame(rows, columns=COLUMNS)
    return gaps.assign(p_holm=holm(gaps["p"].to_numpy(dtype=float)))


def _row(row: Any) -> dict[str, str]:
    return {
        "question set": row.question_set,
        "judge": row.judge,
        "runs": f"{row.model} · {row.domain} · seed {row.seed}",
        "methods": f"{row.method} − {row.other}",
        "EM rates %": f"{percent(row.em_rate)}, {percent(row.em_rate_other)}",
        "points [over questions]": points(row),
        "p": p_value(row.p),
        "p, corrected": p_value(row.p_holm),
    }
