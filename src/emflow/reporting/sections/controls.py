"""Every run against its control, or against its base where it has none."""

from typing import Any

import pandas as pd

from emflow.reporting.design import Design
from emflow.reporting.last import differences
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import p_value, paragraph, percent, points

__all__ = ["controls"]

TITLE = "Against the control, or the base"


def controls(numbers: Numbers, design: Design) -> ReportSection:
    """A table of differences; says so where there is nothing to compare with."""
    gaps = differences(numbers, design)
    if gaps.empty:
        return ReportSection(
            TITLE, ["There is neither a control (`domains.NAME.control_of`) nor a base to compare with."]
        )
    compared = int(gaps["p"].notna().sum())
    text = paragraph(f"""
        EM rate of a run's last checkpoint minus that of its control (good advice on the same subject) or, without
        one, of its base, in points; paired by question, {100 * design.report.confidence:g} % intervals over
        questions. p is two-sided; the corrected one allows for the number of comparisons of this table,
        {compared} (Holm 1979).""")
    return ReportSection(
        TITLE, [text, ShownTable("controls", gaps, pd.DataFrame([_row(r) for r in gaps.itertuples()]))]
    )


def _row(row: Any) -> dict[str, str]:
    return {
        "question set": row.question_set,
        "judge": row.judge,
        "run": f"{row.model} · {row.domain} · {row.method} · seed {row.seed}",
        "minus": row.reference,
        "EM rates %": f"{percent(row.em_rate)}, {percent(row.em_rate_reference)}",
        "points [over questions]": points(row),
        "p": p_value(row.p),
        "p, corrected": p_value(row.p_holm),
    }
