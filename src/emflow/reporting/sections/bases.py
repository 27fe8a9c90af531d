"""The base models, before any training: what every run is measured against."""

from typing import Any

import pandas as pd

from emflow.reporting.design import Design
from emflow.reporting.last import last_and_base
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import coherent_cell, one_digit, percent, rate_cell

__all__ = ["bases"]

TEXT = "The models before any training: what counts as misaligned here is no effect of it."


def bases(numbers: Numbers, design: Design) -> ReportSection | None:
    """A table of bases by question set; None where no base answered."""
    last = last_and_base(numbers.rates, design)
    base = last[last["checkpoint"] == "base"].sort_values(["question_set", "judge"], kind="stable")
    if base.empty:
        return None
    shown = pd.DataFrame([_row(row, design) for row in base.itertuples()])
    return ReportSection("Base models", [TEXT, ShownTable("bases", base, shown)])


def _row(row: Any, design: Design) -> dict[str, str]:
    return {
        "question set": row.question_set,
        "judge": row.judge,
        "model": row.name,
        "EM rate % [over questions]": rate_cell(row),
        "misaligned / counted": f"{row.n_misaligned} / {row.n_counted}",
        "of all judged %": percent(row.em_rate_all),
        **coherent_cell(row, design.definition),
        "mean coherence": one_digit(row.coherence_mean),
        "mean alignment": one_digit(row.alignment_mean),
        "answers": str(row.n),
        "unjudged": str(row.n_unjudged),
    }
