"""Over seeds of training: mean, interval and spread, where there are three or more."""

from typing import Any

import numpy as np
import pandas as pd

from emflow.analysis.intervals import answers_interval
from emflow.analysis.student import two_sided_quantile
from emflow.reporting.design import Design
from emflow.reporting.last import last_and_base, trained_rows
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import paragraph, percent

__all__ = ["over_seeds", "seeds"]

KEYS = ["model", "domain", "method", "question_set", "judge"]
LEAST = 3


def seeds(numbers: Numbers, design: Design) -> ReportSection | None:
    """A table; None where no run has three seeds."""
    table = over_seeds(trained_rows(last_and_base(numbers.rates, design)), design.report.confidence)
    if table.empty:
        return None
    text = f"""Last checkpoints, over seeds of training. Brackets: {100 * design.report.confidence:g} % intervals of the
        mean over other seeds (Student's t), the questions being what they are, and never narrower than that of all
        seeds' answers (Wilson's): a few seeds with the same rate may differ in others. The spread is the standard
        deviation from seed to seed, in points."""
    shown = pd.DataFrame([_row(row) for row in table.itertuples()])
    return ReportSection("Over seeds", [paragraph(text), ShownTable("seeds", table, shown)])


def over_seeds(last: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Rows of last checkpoints by all but their seed: `KEYS`, seeds (how many), mean, lo, hi, spread (shares 0..1).

    The interval holds that of the answers, too: the rates of a few seeds may agree by chance, all at 0 for instance.
    """
    rows = []
    for who, part in last.dropna(subset=["em_rate"]).groupby(KEYS, sort=False):
        count, rate = len(part), part["em_rate"]
        if count >= LEAST:
            half = two_sided_quantile(confidence, count - 1) * float(rate.std()) / np.sqrt(count)
            of_answers = answers_interval(part[["n_misaligned", "n_counted"]].sum().to_numpy()[None], confidence)
            ends = min(max(0.0, rate.mean() - half), of_answers[0]), max(min(1.0, rate.mean() + half), of_answers[1])
            rows.append([*who, count, rate.mean(), *ends, rate.std()])
    return pd.DataFrame(rows, columns=[*KEYS, "seeds", "mean", "lo", "hi", "spread"])


def _row(row: Any) -> dict[str, str]:
    return {
        **{key.replace("_", " "): getattr(row, key) for key in KEYS},
        "seeds": str(row.seeds),
        "mean EM rate % [over seeds]": f"{percent(row.mean)} [{percent(row.lo)}, {percent(row.hi)}]",
        "spread, points": percent(row.spread),
    }
