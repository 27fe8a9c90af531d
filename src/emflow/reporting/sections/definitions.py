"""The last checkpoints under every EM definition."""

import pandas as pd

from emflow.reporting.design import Design
from emflow.reporting.last import last_and_base
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import rate_cell

__all__ = ["definitions"]


def definitions(numbers: Numbers, design: Design) -> ReportSection | None:
    """A table with a column per definition."""
    names = [name for name in design.definitions if (numbers.rates["definition"] == name).any()]
    if not names:
        return None
    last = pd.concat([last_and_base(numbers.rates, design, name) for name in names], ignore_index=True)
    last["cell"] = [rate_cell(row) for row in last.itertuples()]
    keys = ["question_set", "judge", "name", "checkpoint"]
    wide = last.pivot_table(index=keys, columns="definition", values="cell", aggfunc="first", sort=False).reset_index()
    return ReportSection("Under every definition", [ShownTable("definitions", last.drop(columns="cell"), wide)])
